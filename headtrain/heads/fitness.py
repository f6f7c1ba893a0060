"""Whether a head of a user's own can be trained, saved and loaded again: found out before anything is written."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from amnet_common.errors import ConfigError
from headtrain.heads.head import Head
from headtrain.heads.noise import STILL, Handed
from headtrain.heads.rehearsal import rehearse

FEW = 2  # images that a BatchNorm needs


def refuse_untrainable(head: Head) -> None:
    """Raise ConfigError, which names the class, for a head that cannot be trained in a bank or kept in a checkpoint."""
    for name, module in head.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor):
                place = ".".join(filter(None, (name, attribute)))
                raise unfit(head, "tensors as parameters or buffers (register_buffer)", f"{place}, which is neither")
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            wanted = "no RNN, GRU or LSTM of torch, which cannot be mapped over several heads"
            raise unfit(head, wanted, f"{name}, an nn.{type(module).__name__}")
    tensors = [*head.named_parameters(remove_duplicate=False), *head.named_buffers(remove_duplicate=False)]
    state = head.state_dict(keep_vars=True)
    seen: dict[int, str] = {}
    for name, tensor in tensors:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise unfit(head, "parameters that have their shape from __init__ on", f"{name} of a lazy module")
        if name not in state:
            raise unfit(head, "buffers that are kept (persistent=True)", name)
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise unfit(head, "float32", f"{name} in {str(tensor.dtype).removeprefix('torch.')}")
        first = seen.setdefault(tensor.untyped_storage().data_ptr(), name) if tensor.numel() else name
        if first != name:
            raise unfit(head, "memory of its own for each tensor", f"{name} in that of {first}")
    if not any(parameter.requires_grad for parameter in head.parameters()):
        raise unfit(head, "parameters to train", "none")
    rehearse(head, FEW)
    rehearse(head, FEW, training=False)
    refuse_other_sums(head)


def refuse_other_sums(head: Head) -> None:
    """Raise ConfigError if what a copy of the head says of two random images cannot be, or is not the same twice."""
    draw, double = torch.Generator().manual_seed(0), copy.deepcopy(head).cpu().train()
    x = torch.rand((FEW, head.config.locations, head.config.channels), generator=draw)
    factors = [torch.rand(site.shape, generator=draw) if site.share else None for site in rehearse(head, FEW).sites]
    with torch.no_grad():
        first, second = (double(x, Handed(factors)) for _ in range(2))
        said = double.eval()(x, STILL)
    if not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(first, second, strict=True)):
        raise unfit(head, "the same output for the same x and noise", "another: noise.drop is all that may be random")
    for what, sums, wanted in (
        ("steps that add up to the score", said.steps.sum(1), said.score),
        ("attention whose rows add up to 1", said.attention.sum(2), torch.ones(())),
    ):
        if not torch.isclose(sums, wanted, rtol=1e-3, atol=1e-4).all():
            raise unfit(head, what, f"{sums.flatten()[0].item():.4g} for {wanted.flatten()[0].item():.4g}")


def unfit(head: Head, wanted: str, found: str) -> ConfigError:
    """Return the error of a head that is not as it must be."""
    return ConfigError(f"{type(head).__name__}: expected {wanted}, found {found}")
