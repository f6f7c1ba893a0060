"""The trained heads below a folder: what the small files of each run say, without a look into its checkpoints."""

import csv
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from amnet_common.errors import RunError
from headtrain.runs.folder import DROPPED, LOG, METRICS, RUN, read_json
from headtrain.settings.configuration import Config

FINISHED, UNFINISHED, DROPPED_OUT = "finished", "unfinished", "dropped"


@dataclass(frozen=True)
class TrainedHead:
    """One run. Figures that are not known or not defined (rho of constant predictions) are None."""

    run: Path
    config: Config
    split: int
    features: str  # the collection file's name, without .h5
    fingerprint: str  # of its spec
    images: str  # hash of the three lists: equal where heads were trained, chosen and tested on the same
    status: str = UNFINISHED
    val_rho: float | None = None  # the highest; None where the test list validates: that is no validation rho
    test_rho: float | None = None
    low: float | None = None  # 95 % interval of test_rho; runs of older versions have none
    high: float | None = None
    mse: float | None = None  # of the test
    best_epoch: int | None = None  # that of val_rho
    epochs: int = 0  # trained
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether it has been tested."""
        return self.status == FINISHED

    @property
    def optimistic(self) -> bool:
        """Whether its epoch was chosen on the test list."""
        return self.config.training.select_on == "test"


def heads_below(folder: Path) -> list[TrainedHead]:
    """All heads that were trained into run folders below `folder`, finished or not, in the order of their names.

    Raises RunError if there is none, or if a file of one of them is damaged.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: expected a folder of runs, found none")
    heads = [head for run in run_folders(folder) if (head := read_head(run))]
    if not heads:
        raise RunError(f"{folder}: expected runs of amnet-head train (folders with {RUN}), found none")
    return heads


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders with run.json, `folder` itself or below it. Raises RunError for a folder that cannot be read."""
    for path, below, names in os.walk(folder, onerror=_refuse_unreadable):
        below.sort()
        if RUN in names:
            below.clear()
            yield Path(path)


def read_head(run: Path) -> TrainedHead | None:
    """The head of a run folder; None if it was imported, not trained. Raises RunError that names the damaged file."""
    begun = read_json(run / RUN)
    if "imported_from" in begun:
        return None
    with _damage_named(run / RUN):
        features, fingerprint, images = (str(begun[key]) for key in ("features", "fingerprint", "images"))
        config, split = Config.from_dict(begun["config"]), int(begun["split"])
    head = TrainedHead(run, config, split, Path(features).stem, fingerprint, images)
    head = replace(head, **(metrics_of(run) if (run / METRICS).exists() else log_of(run)))
    return replace(head, val_rho=None) if head.optimistic else head


def metrics_of(run: Path) -> dict[str, Any]:
    """The figures of a finished run. Raises RunError."""
    facts = read_json(run / METRICS)
    with _damage_named(run / METRICS):
        low, high = facts.get("interval", (None, None))
        return {
            "status": FINISHED,
            "val_rho": _finite(facts["best"]["val_rho"]),
            "test_rho": _finite(facts["test"]["rho"]),
            "low": _finite(low),
            "high": _finite(high),
            "mse": _finite(facts["test"]["mse"]),
            "best_epoch": int(facts["best"]["epoch"]),
            "epochs": int(facts["epochs"]),
            "seconds": float(facts["seconds"]),
        }


def log_of(run: Path) -> dict[str, Any]:
    """The figures so far of a run that is not finished: none before its first epoch. Raises RunError."""
    if not (run / LOG).exists():
        return {}
    status = DROPPED_OUT if (run / DROPPED).exists() else UNFINISHED
    with _damage_named(run / LOG), open(run / LOG, newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
        rhos = {int(epoch["epoch"]): float(epoch["val_rho"]) for epoch in epochs}
        seconds = sum(float(epoch["seconds"]) for epoch in epochs)
    best = max((number for number, rho in rhos.items() if math.isfinite(rho)), key=rhos.__getitem__, default=None)
    val_rho = None if best is None else rhos[best]
    return {"status": status, "val_rho": val_rho, "best_epoch": best, "epochs": len(epochs), "seconds": seconds}


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        found = f"no {error}" if isinstance(error, KeyError) else error
        raise RunError(f"{path}: expected a file as amnet-head train writes it, found {found}") from error


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise RunError(f"{error.filename}: expected a folder that can be read: {error.strerror}") from error
