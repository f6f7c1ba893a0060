"""Where the views of a training live: in GPU memory, in main memory, or on the disk, read ahead.

What is chosen changes the speed and nothing else: the same views come in the same order.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from headtrain.features.batches import Source, training_views
from headtrain.features.resident import Needed, Resident
from headtrain.features.splits import Subsets
from headtrain.settings.configuration import TrainingConfig

GPU, RAM, DISK, AUTO = "gpu", "ram", "disk", "auto"
GPU_SHARE, RAM_SHARE = 0.6, 0.5  # of what is free: heads and batches want some too


class Placement(NamedTuple):
    """Hold how many of the views of a training will be where, and why."""

    gpu: int
    ram: int
    disk: int
    why: str

    @property
    def where(self) -> str:
        """Name the place, or the places: "gpu + ram"."""
        counts = {GPU: self.gpu, RAM: self.ram, DISK: self.disk}
        return " + ".join(place for place, count in counts.items() if count) or DISK


def needed(subsets: Subsets, views: int, settings: Sequence[TrainingConfig]) -> Needed:
    """Return the validation images in the views that are evaluated, the training images in those that epochs show.

    Of all of `settings`, each pair of row and view once; `views` of the collection. Those of validation come first, as
    each of them is read in each epoch; else in the order of rows.
    """
    pairs = [(subsets.train.rows, view) for view in {v for one in settings for v in training_views(views, one)}]
    pairs += [(subsets.val.rows, view) for view in {one.eval_view for one in settings}]
    found = np.concatenate([np.stack([rows, np.full(len(rows), view)]) for rows, view in pairs], axis=1)  # (2, n)
    found = np.unique(found, axis=1)
    shown_once = ~np.isin(found[0], subsets.val.rows)
    return Needed(*found[:, np.argsort(shown_once, kind="stable")])


def choose(wanted: str, views: int, view_bytes: int, device: str, gpu_free: int, ram_free: int) -> Placement:
    """Decide where so many views of so many bytes each are placed (pure): in the GPU's memory as many as its share
    holds, then in main memory, the others on the disk.

    `gpu_free` and `ram_free` are bytes; `gpu_free` is 0 without a GPU. Raises ConfigError for what cannot be: a GPU's
    memory where the device is a CPU, or more than it has free.
    """
    size = views * view_bytes
    gigabytes = f"{size / 1e9:.1f} GB"
    if wanted == GPU and device == "cpu":
        raise ConfigError("--residency gpu: expected a GPU to train on, found --device cpu")
    if wanted == GPU and size > gpu_free:
        raise ConfigError(f"--residency gpu: expected {gigabytes} free on the GPU for {views:,} views, found "
                          f"{gpu_free / 1e9:.1f} GB; --residency auto puts there what fits")  # fmt: skip
    if wanted != AUTO:
        return whole(wanted, views, f"{gigabytes}, as --residency says")
    if device == "cpu":
        return whole(DISK, views, f"{gigabytes}, read ahead: a CPU trains more slowly than a disk reads")
    on_gpu = min(views, int(GPU_SHARE * gpu_free) // view_bytes)
    own = not device.startswith("mps")  # else the GPU's memory is the main memory, and its share is taken
    in_ram = min(views - on_gpu, int(RAM_SHARE * ram_free) // view_bytes) if own else 0
    free = f"{gpu_free / 1e9:.1f} GB"
    if on_gpu == views:
        return whole(GPU, views, f"{gigabytes} of {free} free there")
    if in_ram == views:
        return whole(RAM, views, f"{gigabytes}: too much for the GPU's {free}, not for main memory")
    too_little = f" and for half of the {ram_free / 1e9:.1f} GB of main memory"
    if on_gpu + in_ram == 0:
        return whole(DISK, views, f"{gigabytes}, read ahead: too much for the GPU's {free}{too_little}")
    on_disk = views - on_gpu - in_ram
    places = {"on the GPU": on_gpu, "in main memory": in_ram, "on the disk, read ahead": on_disk}
    told = [f"{count:,} views, {count * view_bytes / 1e9:.1f} GB, {place}" for place, count in places.items() if count]
    why = f"{gigabytes}, too much for {GPU_SHARE:g} of the GPU's {free}{too_little if on_disk else ''}"
    return Placement(on_gpu, in_ram, on_disk, f"{why}: {'; '.join(told)}")


def whole(where: str, views: int, why: str) -> Placement:
    """Return a placement of all views in one place."""
    gpu, ram, disk = (views if where == place else 0 for place in (GPU, RAM, DISK))
    return Placement(gpu, ram, disk, why)


def load(
    collection: Collection, found: Placement, held: Needed, device: str, advance: Callable[[int], object], check: bool
) -> Source:
    """Return what a training reads from, with as many of these views in memory as `found` says; on a CPU that reads
    from the disk the collection itself. Raises CollectionError for damaged features, if `check`.
    """
    if device == "cpu" and found.where == DISK:
        return collection
    source = Resident(collection, held, device, found.gpu, found.ram)
    source.fill(held, advance, check)
    return source
