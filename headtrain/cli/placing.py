"""Where a training's views are put, said before it begins."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from amnet_common.collection import Collection
from amnet_common.commands import progress, say
from headtrain.cli.computing import Computing

if TYPE_CHECKING:
    from headtrain.features.batches import Source
    from headtrain.features.splits import Subsets
    from headtrain.settings.configuration import TrainingConfig

residency_option = click.option(
    "--residency", type=click.Choice(("auto", "gpu", "ram", "disk")), default="auto",
    help="Where the views live while heads train: in GPU memory, in main memory, or on the disk, read ahead; auto: as "
    "many on the GPU as fit, then in main memory, the others on the disk; on a CPU on the disk.",
)  # fmt: skip


class Placed:
    """Give what the trainings of each split read from. The views of the last split stay in memory: the batches of a
    search ask for the same ones again and again.
    """

    def __init__(self, collection: Collection, subsets: "Mapping[int, Subsets]", computing: Computing) -> None:
        self._of = collection, subsets, computing
        self._key: object = None
        self._source: Source | None = None

    def __call__(self, split: int, settings: "Sequence[TrainingConfig]") -> "Source":
        """Return what trainings with these settings read from on one split."""
        collection, subsets, computing = self._of
        key = split, frozenset((one.views, one.augs, one.eval_view) for one in settings)
        if self._source is None or key != self._key:
            self._source = None  # frees its memory first
            self._key, self._source = key, placed(collection, subsets[split], settings, computing)
        return self._source


def placed(
    collection: Collection, subsets: "Subsets", settings: "Sequence[TrainingConfig]", computing: Computing
) -> "Source":
    """Return what the trainings of one split read from; those of its views that are to be in memory are loaded, with a
    bar. Raises ConfigError for a GPU's memory where the device is a CPU, or where they do not fit.
    """
    from amnet_common.machine.memory import available_bytes
    from headtrain.features.residency import choose, load, needed

    device = computing.device
    held = needed(subsets, collection.views, settings)
    gpu_free = 0 if device == "cpu" else available_bytes(device)
    ram_free = available_bytes("cpu") // computing.sharers
    found = choose(computing.residency, len(held.rows), collection.view_bytes, device, gpu_free, ram_free)
    say(f"views: {found.where} ({found.why})", err=True)
    loaded = found.gpu + found.ram
    if not loaded:
        return load(collection, found, held, device, lambda _: None, computing.check)
    with progress("load", loaded, "views") as bar:
        return load(collection, found, held, device, bar.update, computing.check)
