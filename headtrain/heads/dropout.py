"""Dropout whose random numbers come from a generator of its own: a head's do not depend on what runs beside it."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

FINE = 2**16  # a share is a multiple of 1 / FINE; the mean of a mask is 1 all the same


class Dropout(nn.Module):
    """Set a share of the values to 0 while training, and raise the others, so that the mean stays.

    `unit` "channel", for x (B, L, D): a channel of an image is kept or dropped at all its locations.
    """

    def __init__(self, share: float, unit: str = "value") -> None:
        super().__init__()
        self.share, self.unit = share, unit
        self.noise: Generator | None = None  # on the device of x; None: torch's global one

    def forward(self, x: Tensor) -> Tensor:
        drawn = self.draw(x.shape, x.device)
        return x if drawn is None else x * drawn

    def draw(self, shape: Sequence[int], device: torch.device) -> Tensor | None:
        """Draw the factors, float32, for an x of `shape`, which broadcast over it; None where nothing is dropped."""
        if not self.training or not self.share:
            return None
        drawn = tuple(shape) if self.unit == "value" else (shape[0], 1, *shape[2:])
        return mask(drawn, self.share, device, self.noise)


def set_noise(module: nn.Module, noise: Generator) -> None:
    """Make every dropout below `module` draw from `noise`."""
    for child in module.modules():
        if isinstance(child, Dropout):
            child.noise = noise


def mask(shape: tuple[int, ...], share: float, device: torch.device, noise: Generator | None = None) -> Tensor:
    """Draw float32 of `shape`: 0 for about `share` of the values, one value above 1 for the others.

    Four values share a random integer of 64 bits, which on a CPU costs as much as one Bernoulli number.
    """
    kept, values = round((1 - share) * FINE), math.prod(shape)
    bits = torch.empty(-(-values // 4), dtype=torch.int64, device=device).random_(-(2**63), None, generator=noise)
    drawn = bits.view(torch.int16)[:values].view(shape)  # uniform in -FINE / 2 ... FINE / 2 - 1
    return (drawn < kept - FINE // 2).float().mul_(FINE / kept)
