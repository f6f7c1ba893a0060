"""Which views an epoch shows, in which order (pure), and what makes floats of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection.prefetch import P
from amnet_common.seeds import keyed_philox
from headtrain.settings.configuration import TrainingConfig


class Picks(NamedTuple):
    """Hold one batch: which views, and where their images stand in the list they come from."""

    rows: np.ndarray  # (n,) int64, rows of the collection
    views: np.ndarray  # (n,) int64
    positions: np.ndarray  # (n,) int64, positions in the list


class Source(Protocol):
    """Describe what an epoch reads from: a Collection, or one whose views are in memory."""

    views: int
    scales: np.ndarray | None

    def batches(
        self, picks: Iterable[P], ahead: int = 1, check: bool = True
    ) -> Iterator[tuple[P, np.ndarray | Tensor]]:
        """Yield each of `picks` with its views (n, 14, 14, D) as stored."""


def training_views(views: int, settings: TrainingConfig) -> list[int]:
    """Return the views that epochs show of a collection with `views` views: the augmented ones, as many as `settings`
    allow, or view 0 if there are none.
    """
    most = 1 if settings.views == "first" else views
    return list(range(1, views))[: settings.augs][:most] or [0]


def views_a_pass(images: int, views: int, settings: TrainingConfig) -> int:
    """Count the views that one pass over so many images shows, of a collection with so many views."""
    return images * len(training_views(views, settings)) if settings.views == "all" else images


def batch_length(images: int, views: int, settings: TrainingConfig) -> int:
    """Count the views of a full batch of so many images, of a collection with so many views."""
    return min(settings.batch_size, views_a_pass(images, views, settings))


def passes_an_epoch(shown: int, settings: TrainingConfig) -> int:
    """Count the passes of an epoch, each of which shows so many views: one, or as many as make `least_updates`."""
    size = min(settings.batch_size, shown)
    updates = shown // size if settings.drop_last else -(-shown // size)
    return max(1, -(-settings.least_updates // updates))


def views_an_epoch(images: int, views: int, settings: TrainingConfig) -> int:
    """Count the views that an epoch shows of so many images, of a collection with so many views."""
    shown = views_a_pass(images, views, settings)
    return shown * passes_an_epoch(shown, settings)


def epoch_picks(rows: np.ndarray, views: int, settings: TrainingConfig, epoch: int) -> list[Picks]:
    """Draw the batches of an epoch, in random order: of one pass over the images, or of several where they are few.

    Of its `training_views` each row shows what `settings.views` says: a `random` one, `all`, or always the `first`. The
    same for equal (data_seed, epoch), whatever happened before: an epoch can be repeated alone.
    """
    draw = np.random.Generator(keyed_philox("epoch", settings.data_seed, epoch))
    passes = passes_an_epoch(views_a_pass(len(rows), views, settings), settings)
    return [picks for _ in range(passes) for picks in _pass_picks(draw, rows, views, settings)]


def _pass_picks(draw: np.random.Generator, rows: np.ndarray, views: int, settings: TrainingConfig) -> list[Picks]:
    """Draw the batches of one pass."""
    shown = np.array(training_views(views, settings))
    if settings.views == "all":
        pairs = draw.permutation(len(rows) * len(shown))
        order, chosen = pairs // len(shown), shown[pairs % len(shown)]  # (n,) positions and their views
    else:
        order = draw.permutation(len(rows))
        chosen = shown[draw.integers(len(shown), size=len(rows))][order]
    size = min(settings.batch_size, len(order))
    stop = len(order) // size * size if settings.drop_last else len(order)
    parts = [slice(start, start + size) for start in range(0, stop, size)]
    return [Picks(rows[order[part]], chosen[part], order[part]) for part in parts]


def ordered_picks(rows: np.ndarray, view: int, batch_size: int) -> list[Picks]:
    """Return batches that show every row once, in order, in one view."""
    return view_picks(rows, [view], batch_size)


def view_picks(rows: np.ndarray, views: Sequence[int], batch_size: int) -> list[Picks]:
    """Return batches that show every row in each of `views`, in the order of the file; positions number these pairs."""
    row, view = np.repeat(rows, len(views)), np.tile(np.array(views, np.int64), len(rows))  # (n V,) each
    parts = [slice(start, start + batch_size) for start in range(0, len(row), batch_size)]
    return [Picks(row[part], view[part], np.arange(len(row))[part]) for part in parts]


def to_floats(stored: Tensor, scales: Tensor | None) -> Tensor:
    """Convert stored views (n, 14, 14, D), floats or uint8 codes, to float32 (n, L, D) on their device.

    `scales` (D,) float32 on the same device turn codes into features; None where the views are floats.
    """
    x = stored.float().flatten(1, 2)  # (n, L, D)
    return x if scales is None else x * scales


def scales_on(device: torch.device | str, source: Source) -> Tensor | None:
    """Return the collection's scales (D,) float32 on `device`; None where it stores floats."""
    return None if source.scales is None else torch.from_numpy(source.scales).to(device)
