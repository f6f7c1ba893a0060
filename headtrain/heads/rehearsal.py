"""A forward pass of a head without numbers: where it drops values, and what it keeps."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from amnet_common.errors import ConfigError
from amnet_common.small_texts import shortened
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL, Listed, Site
from headtrain.heads.user_code import described, file_of


class Rehearsal(NamedTuple):
    """Hold what a forward pass does."""

    sites: tuple[Site, ...]  # in the order of the pass
    kept: int  # bytes that autograd keeps of it for the backward pass, beside parameters and x


class RandomCalls(TorchDispatchMode):
    """Note the operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's own
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def rehearse(head: Head, images: int, training: bool = True) -> Rehearsal:
    """Run a head's forward pass of so many images without values and without touching the head: in training mode, or as
    validation does.

    Raises ConfigError, which names the head's class, for a forward that heads could not train with.
    """
    mode, random, kept = FakeTensorMode(allow_non_fake_inputs=True), RandomCalls(), dict[int, Tensor]()
    double = without_values(head, mode).train(training)
    shape, like = (images, head.config.locations, head.config.channels), double.target_mean
    listed, buffers = Listed(like.device), dict(double.named_buffers())

    def keep(tensor: Tensor) -> Tensor:
        kept[storage_of(tensor)] = tensor
        return tensor

    try:
        with quiet(), mode, random, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            x = torch.empty(shape, dtype=like.dtype, device=like.device)
            output = double(x, listed if training else STILL)
    except DataDependentOutputException as error:
        raise refused(head, "no branches on values of tensors", f"one on {error}") from error
    except Exception as error:
        if not head.config.source:
            raise
        found = described(error, file_of(type(head)))
        raise refused(head, f"one that takes x {shape}", found) from error
    if random.names:
        raise refused(head, "noise.drop(x, share) for all that is random", f"{random.names[0]}, which no seed decides")
    refuse_other_output(head, output, images)
    for name, buffer in double.named_buffers():
        if buffer is not buffers.get(name):
            raise refused(head, "buffers that are changed in place", f"{name} bound to another tensor")
    own = {storage_of(tensor) for tensor in (*double.parameters(), *double.buffers(), x)}
    sizes = [tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in own]
    return Rehearsal(tuple(listed.sites), sum(sizes))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from printing the traceback of an error that becomes one line."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def storage_of(tensor: Tensor) -> int:
    """Return what is equal for tensors of the same memory, also where they have none."""
    return tensor.untyped_storage()._cdata


def without_values(head: Head, mode: FakeTensorMode) -> Head:
    """Copy a head without its values; on the CPU if it has none itself, on the meta device."""

    def fake(tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device="cpu" if tensor.is_meta else None)

    with mode:
        memo: dict[int, object] = {id(one): fake(one) for one in head.buffers()}
        memo |= {id(one): nn.Parameter(fake(one), one.requires_grad) for one in head.parameters()}
        return copy.deepcopy(head, memo)


def refuse_other_output(head: Head, output: object, images: int) -> None:
    """Raise ConfigError unless a forward pass gave an Output of the shapes that it must have."""
    if not isinstance(output, Output):
        raise refused(head, "an Output", "a Tensor" if isinstance(output, Tensor) else shortened(output))
    T = head.outputs
    shapes = (images,), (images, T), (images, T, head.config.locations)
    for name, tensor, shape in zip(Output._fields, output, shapes, strict=True):
        if tuple(tensor.shape) != shape:
            raise refused(head, f"{name} {shape}", str(tuple(tensor.shape)))


def refused(head: Head, wanted: str, found: str) -> ConfigError:
    """Return the error of a forward that is not as it must be."""
    return ConfigError(f"{type(head).__name__}.forward: expected {wanted}, found {found}")
