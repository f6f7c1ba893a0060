"""Which views an epoch shows, in which order (pure), and what makes floats of them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.seeds import keyed_philox


class Picks(NamedTuple):
    """One batch: which views, and where their images stand in the list they come from."""

    rows: np.ndarray  # (n,) int64, rows of the collection
    views: np.ndarray  # (n,) int64
    places: np.ndarray  # (n,) int64, positions in the list


def epoch_picks(rows: np.ndarray, views: int, seed: int, epoch: int, batch_size: int) -> list[Picks]:
    """Every row once, shuffled, each with one random augmented view; view 0 where there is no other.

    The same for equal (seed, epoch), whatever happened before: an epoch can be repeated alone.
    """
    draw = np.random.Generator(keyed_philox("epoch", seed, epoch))
    order = draw.permutation(len(rows))
    chosen = draw.integers(1, views, len(rows)) if views > 1 else np.zeros(len(rows), np.int64)
    starts = range(0, len(rows), batch_size)
    parts = (order[start : start + batch_size] for start in starts)
    return [Picks(rows[part], chosen[part], part) for part in parts]


def ordered_picks(rows: np.ndarray, view: int, batch_size: int) -> list[Picks]:
    """Every row once, in order, in one view."""
    places = np.arange(len(rows))
    parts = (places[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return [Picks(rows[part], np.full(len(part), view), part) for part in parts]


def to_floats(stored: Tensor, scales: Tensor | None) -> Tensor:
    """Stored views (n, 14, 14, D), floats or uint8 codes, as float32 (n, L, D) on their device.

    `scales` (D,) float32 on the same device turn codes into features; None where the views are floats.
    """
    x = stored.float().flatten(1, 2)  # (n, L, D)
    return x if scales is None else x * scales


def scales_on(device: torch.device | str, collection: Collection) -> Tensor | None:
    """The collection's scales (D,) on `device`; None where it stores floats."""
    return None if collection.scales is None else torch.from_numpy(collection.scales).to(device)
