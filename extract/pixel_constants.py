"""Mean and standard deviation of pixels, on the device of the trunk, made once."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn


class PixelConstants(nn.Module):
    """Hold `mean` and `std`, (3, 1, 1) float32, of three channels times `scale`.

    They follow the trunk to its device and not to its precision: rounded, they would change the features. They are no
    weights, and in no state.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], scale: int = 1) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            of_channels = torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, of_channels * scale, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Take from whatever is done to the tensors of a module the device alone."""
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, tensor in exact.items():
            self.register_buffer(name, tensor.to(self.get_buffer(name).device), persistent=False)
        return self
