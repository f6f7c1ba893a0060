"""The trained heads below a folder: what the small files of each run say, without a look into its checkpoints."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from amnet_common.datasets.folds import Folding
from amnet_common.errors import ConfigError, DamagedRunError, RunError
from headtrain.evaluation.bootstrap import Interval
from headtrain.evaluation.metrics import Metrics
from headtrain.runs.documents import Begun, damage_named, read_begun, read_result
from headtrain.runs.features import features_stem
from headtrain.runs.folder import DIVERGED, LOG, PRUNED, RESULT, RUN
from headtrain.runs.log import Epoch, read_log
from headtrain.settings.configuration import Config

FINISHED, UNFINISHED, PRUNED_EARLY, DIVERGED_AT = "finished", "unfinished", "pruned", "diverged"


@dataclass(frozen=True)
class TrainedHead:
    """Hold one run. Figures that are not known are None or NaN."""

    run: Path
    config: Config
    split: int
    features: str  # the collection file's name, without .h5; of joined ones all, with + in between
    fingerprint: str  # of its spec
    images: str  # hash of the three lists: equal where heads were trained, chosen and tested on the same
    optimistic: bool = False  # the test list chose the epoch
    status: str = UNFINISHED
    val_rho: float | None = None  # the highest; None where the test list validates: that is no validation rho
    test: Metrics = Metrics()  # noqa: RUF009 (frozen)
    interval: Interval = Interval(math.nan, math.nan)  # noqa: RUF009 - of the test rho, 95 %
    best_epoch: int | None = None  # that of val_rho
    epochs: int = 0  # trained
    seconds: float = 0.0
    lengths: Mapping[str, int] = field(default_factory=dict)  # of its lists, as far as its result says
    folding: Folding | None = None  # how its lists were dealt, where amnet did that
    tested_elsewhere: int | None = None  # validation images that another split tests; None: an older run

    @property
    def finished(self) -> bool:
        """Tell whether its training came to its end; it has been tested, unless --no-test put that off."""
        return self.status == FINISHED


class Listed(NamedTuple):
    """Hold what stands below a folder: the trained heads, and what could not be read, with the reason."""

    heads: list[TrainedHead]
    damaged: list[tuple[Path, str]]


def listed(folder: Path) -> Listed:
    """List all heads that were trained into run folders below `folder`, finished or not, in the order of their names.

    A run whose files are damaged, or a folder that cannot be read, hides no other. Raises RunError if there is none.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: expected a folder of runs, found none")
    heads: list[TrainedHead] = []
    damaged: list[tuple[Path, str]] = []

    def unreadable(error: OSError) -> None:
        damaged.append((Path(error.filename), f"cannot be read: {error.strerror}"))

    for run in run_folders(folder, unreadable):
        try:
            head = read_head(run)
        except (RunError, ConfigError) as error:
            damaged.append((run, str(error)))
        else:
            heads += [head] if head else []
    if not heads and not damaged:
        raise RunError(f"{folder}: expected runs of amnet-head train (folders with {RUN}), found none")
    return Listed(heads, damaged)


def run_folders(folder: Path, unreadable: Callable[[OSError], object]) -> Iterator[Path]:
    """Yield the folders with run.json, `folder` itself or below it, hidden ones left out.

    `unreadable` is told of folders that cannot be read.
    """
    for path, below, names in os.walk(folder, onerror=unreadable):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if RUN in names:
            below.clear()
            yield Path(path)


def read_head(run: Path) -> TrainedHead | None:
    """Read the head of a run folder; None if it was imported. Raises RunError that names the damaged file."""
    begun = read_begun(run)
    if begun.imported_from:
        return None
    head = with_figures(_begun_head(run, begun))
    return replace(head, val_rho=None) if head.optimistic else head


def _begun_head(run: Path, begun: Begun) -> TrainedHead:
    with damage_named(run / RUN):
        if begun.split is None or not (begun.features and begun.fingerprint and begun.images):
            raise ValueError("no split, features, fingerprint or images")
    features = features_stem(begun)
    return TrainedHead(run, begun.config, begun.split, features, begun.fingerprint, begun.images,
                       begun.optimistic, folding=begun.folding, tested_elsewhere=begun.tested_elsewhere)  # fmt: skip


def with_figures(head: TrainedHead) -> TrainedHead:
    """Add what came out of a run, or, while it is not finished, what its log says so far. Raises RunError."""
    if (head.run / RESULT).exists():
        found = read_result(head.run)
        head = replace(head, status=FINISHED, test=found.test, interval=found.interval, epochs=found.epochs,
                       seconds=found.seconds, lengths=found.images)  # fmt: skip
        if found.best is None:
            raise DamagedRunError(f"{head.run / RESULT}: expected the best epoch of a training, found none")
        return with_best(head, found.best)
    status = DIVERGED_AT if (head.run / DIVERGED).exists() else UNFINISHED
    status = PRUNED_EARLY if (head.run / PRUNED).exists() else status
    if not (head.run / LOG).exists():
        return replace(head, status=status)
    epochs = read_log(head.run)
    head = replace(head, status=status, epochs=len(epochs), seconds=sum(one.seconds for one in epochs))
    defined = [one for one in epochs if math.isfinite(one.val_rho)]
    return with_best(head, max(defined, key=lambda one: one.val_rho)) if defined else head


def with_best(head: TrainedHead, best: Epoch) -> TrainedHead:
    """Add the epoch of the highest validation rho."""
    return replace(head, val_rho=best.val_rho if math.isfinite(best.val_rho) else None, best_epoch=best.epoch)
