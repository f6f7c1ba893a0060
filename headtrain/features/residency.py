"""Where the views of a training live: in GPU memory, in main memory, or on the disk, read ahead.

What is chosen changes the speed and nothing else: the same views come in the same order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.collection.prefetch import P
from amnet_common.errors import ConfigError
from headtrain.features.batches import Picks, Source, training_views
from headtrain.features.splits import Subsets
from headtrain.settings.configuration import TrainingConfig

GPU, RAM, DISK, AUTO = "gpu", "ram", "disk", "auto"
GPU_SHARE, RAM_SHARE = 0.6, 0.5  # of what is free: heads and batches want some too
LOAD = 256  # views read at once


class Placement(NamedTuple):
    """Hold where the views of a training will be, and why."""

    where: str  # GPU, RAM or DISK
    why: str


class Needed(NamedTuple):
    """Hold the views of rows that a training reads again and again."""

    rows: np.ndarray  # (n,) int64
    views: np.ndarray  # (n,) int64


def needed(subsets: Subsets, views: int, settings: Sequence[TrainingConfig]) -> Needed:
    """Return the training images in the views that epochs show, the validation images in those that are evaluated.

    Of all of `settings`, each pair of row and view once, in the order of rows; `views` of the collection.
    """
    pairs = [(subsets.train.rows, view) for view in {v for one in settings for v in training_views(views, one)}]
    pairs += [(subsets.val.rows, view) for view in {one.eval_view for one in settings}]
    found = np.concatenate([np.stack([rows, np.full(len(rows), view)]) for rows, view in pairs], axis=1)  # (2, n)
    return Needed(*np.unique(found, axis=1))


def choose(wanted: str, size: int, device: str, gpu_free: int, ram_free: int) -> Placement:
    """Decide where `size` bytes of views are placed (pure).

    `gpu_free` and `ram_free` are bytes; `gpu_free` is 0 without a GPU. Raises ConfigError for what cannot be: a GPU's
    memory where the device is a CPU.
    """
    gigabytes = f"{size / 1e9:.1f} GB"
    if wanted == GPU and device == "cpu":
        raise ConfigError("--residency gpu: expected a GPU to train on, found --device cpu")
    if wanted != AUTO:
        return Placement(wanted, f"{gigabytes}, as --residency says")
    if device == "cpu":
        return Placement(DISK, f"{gigabytes}, read ahead: a CPU trains more slowly than a disk reads")
    if size <= GPU_SHARE * gpu_free:
        return Placement(GPU, f"{gigabytes} of {gpu_free / 1e9:.1f} GB free there")
    if size <= RAM_SHARE * ram_free:
        return Placement(RAM, f"{gigabytes}: too much for the GPU's {gpu_free / 1e9:.1f} GB, not for main memory")
    return Placement(DISK, f"{gigabytes}, read ahead: too much for the GPU's {gpu_free / 1e9:.1f} GB and for half of "
                     f"the {ram_free / 1e9:.1f} GB of main memory")  # fmt: skip


class Resident:
    """Serve a collection some of whose views are in memory, as stored (uint8 stays uint8)."""

    def __init__(self, collection: Collection, held: Needed, device: str) -> None:
        self.collection, self.views, self.scales = collection, collection.views, collection.scales
        self._position = np.full((len(collection), collection.views), -1)  # (N, V), where a view stands in the memory
        self._position[held.rows, held.views] = np.arange(len(held.rows))
        kind = torch.from_numpy(np.empty(0, collection.dtype)).dtype
        self._memory = torch.empty((len(held.rows), *collection.view_shape), dtype=kind, device=device)

    def fill(self, held: Needed, advance: Callable[[int], object], check: bool = True) -> None:
        """Read the views, compared with their checksums if `check`; `advance` is told of each part's count."""
        bounds = range(0, len(held.rows), LOAD)
        parts = [Picks(held.rows[i : i + LOAD], held.views[i : i + LOAD], np.arange(i, i + LOAD)) for i in bounds]
        for part, features in self.collection.batches(parts, check=check):
            start = int(part.positions[0])
            self._memory[start : start + len(part.rows)].copy_(torch.from_numpy(features))
            advance(len(part.rows))

    def batches(
        self, picks: Iterable[P], ahead: int = 1, check: bool = True
    ) -> Iterator[tuple[P, np.ndarray | Tensor]]:
        """Yield each of `picks` with its views, as the collection does; what is in memory is not checked again."""
        for pick in picks:
            positions = self._position[pick.rows, pick.views]
            if (positions < 0).any():
                yield from self.collection.batches([pick], ahead, check)
            else:
                yield pick, self._memory[torch.from_numpy(positions).to(self._memory.device)]


def load(
    collection: Collection, where: str, held: Needed, device: str, advance: Callable[[int], object], check: bool
) -> Source:
    """Return the collection itself (DISK), or one with these views read into memory (GPU, RAM)."""
    if where == DISK:
        return collection
    source = Resident(collection, held, device if where == GPU else "cpu")
    source.fill(held, advance, check)
    return source
