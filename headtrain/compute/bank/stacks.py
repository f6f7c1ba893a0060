"""The memory of a bank: each parameter of N heads as one tensor, of which the heads' own parameters are views."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from headtrain.heads.head import Head


class Stacks(NamedTuple):
    """Hold the tensors of N heads by their names in a head, (N, ...) each."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


def stack(heads: Sequence[Head], trained: bool = True) -> Stacks:
    """Move the heads' parameters and buffers into common memory; what is done to one is done to the other.

    So optimisers, averages and checkpoints of a single head work on it as ever. `trained`: the parameters are leaves of
    autograd, with gradients of the same layout.
    """
    parameters = {name: of_heads(heads, name).requires_grad_(trained) for name, _ in heads[0].named_parameters()}
    buffers = {name: of_heads(heads, name) for name, _ in heads[0].named_buffers()}
    gradients = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()} if trained else {}
    for name, tensor in parameters.items():
        tensor.grad = gradients.get(name)
    for n, head in enumerate(heads):
        for name, parameter in head.named_parameters():
            parameter.data = parameters[name].detach()[n]  # the same object: optimisers know it by that
            parameter.grad = gradients[name][n] if trained else None
        for name, buffer in head.named_buffers():
            buffer.data = buffers[name][n]
    return Stacks(parameters, buffers)


def of_heads(heads: Sequence[Head], name: str) -> Tensor:
    """Return one tensor of all heads, (N, ...), in new memory."""
    return torch.stack([head.state_dict()[name].detach() for head in heads])
