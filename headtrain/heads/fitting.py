"""Whether tensors that were read are those that are wanted: found out before any of them is used."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def misfits(wanted: Mapping[str, Tensor], found: Mapping[str, Any], any_float: bool = False) -> list[str]:
    """Return a line for each wanted tensor that is missing, or is found in another shape or dtype.

    `any_float`: floats of any precision serve for floats. What is found beside those wanted is not looked at.
    """
    return [line for name, tensor in wanted.items() if (line := misfit(name, tensor, found, any_float))]


def misfit(name: str, wanted: Tensor, found: Mapping[str, Any], any_float: bool = False) -> str:
    """Return what is wrong with one tensor, as `misfits` does; nothing if it fits."""
    if name not in found:
        return f"{name} is missing"
    value, shape = found[name], tuple(wanted.shape)
    if not isinstance(value, Tensor):
        return f"{name}: expected {shape}, found a {type(value).__name__}"
    if tuple(value.shape) != shape or value.layout is not torch.strided:
        return f"{name}: expected {shape}, found {tuple(value.shape)}"
    if value.dtype != wanted.dtype and not (any_float and value.is_floating_point()):
        return f"{name}: expected {wanted.dtype}, found {value.dtype}"
    return ""
