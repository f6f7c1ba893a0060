"""Dropout whose random numbers come from outside a head: a head's do not depend on what runs beside it.

A head's `forward` says by `noise.drop` where it drops, and how much; what is handed to it as `noise` decides what
happens there.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from amnet_common.errors import ConfigError

FINE = 2**16  # a share is a multiple of 1 / FINE; the mean of what is multiplied by is 1 all the same

Factors = Tensor | None  # float32, broadcasting over what they multiply; None: nothing is dropped


class Noise:
    """Provide the dropout of one forward pass. A head calls it at the same places in every pass, also for share 0."""

    def drop(self, x: Tensor, share: float, unit: str = "value") -> Tensor:
        """Set a share of the values of x to 0, and raise the others, so that the mean stays.

        `unit` "channel", for x (B, L, D): a channel of an image is kept or dropped at all its locations.
        """
        if not 0 <= share < 1:
            raise ConfigError(f"noise.drop: expected a share in [0, 1), found {share}")
        if unit not in ("value", "channel") or (unit == "channel" and x.dim() != 3):
            raise ConfigError(f"noise.drop: expected the unit value, or channel for x (B, L, D), found {unit!r} for "
                              f"{tuple(x.shape)}")  # fmt: skip
        factors = self.factors(x.shape, share, unit)
        return x if factors is None else factors * x

    def factors(self, shape: Sequence[int], share: float, unit: str = "value") -> Factors:
        """Return what `drop` multiplies an x of `shape` by."""
        raise NotImplementedError


class Still(Noise):
    """Keep every value: for validation, test and scoring."""

    def factors(self, shape: Sequence[int], share: float, unit: str = "value") -> Factors:  # noqa: ARG002
        return None


STILL = Still()


class Handed(Noise):
    """Give out factors that were computed before, in their order."""

    def __init__(self, drawn: Iterable[Factors]) -> None:
        self.left = list(drawn)

    def factors(self, shape: Sequence[int], share: float, unit: str = "value") -> Factors:  # noqa: ARG002
        return self.left.pop(0)


class Site(NamedTuple):
    """Hold a place where a head drops values."""

    share: float
    shape: tuple[int, ...]  # of its factors


class Listed(Noise):
    """Note every place; what is multiplied by is zeros, or without values in a `heads.rehearsal`."""

    def __init__(self, device: torch.device) -> None:
        self.sites: list[Site] = []
        self.device = device

    def factors(self, shape: Sequence[int], share: float, unit: str = "value") -> Factors:
        self.sites.append(Site(share, shape_of(shape, unit)))
        return torch.zeros(self.sites[-1].shape, device=self.device) if share else None


def shape_of(shape: Sequence[int], unit: str) -> tuple[int, ...]:
    """Return the shape of the factors for an x of `shape`."""
    return tuple(shape) if unit == "value" else (shape[0], 1, *shape[2:])
