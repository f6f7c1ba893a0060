"""The results of finished runs: one folder with test.csv, or a folder of split-1, split-2, ... with one each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amnet_common.collection import Collection
from amnet_common.errors import RunError
from headtrain.baselines import Baseline
from headtrain.metrics import Metrics, evaluate, finite, spearman
from headtrain.parts import Parts
from headtrain.predictions import Predictions, read_predictions, write_predictions
from headtrain.run_folder import METRICS, TEST, read_json, write_json

SPLIT = re.compile(r"split-(\d+)")


@dataclass(frozen=True)
class RunResult:
    """The test of one split."""

    run: Path
    split: int
    predictions: Predictions
    facts: Mapping[str, Any]  # of metrics.json

    @property
    def metrics(self) -> Metrics:
        """Computed anew from the predictions."""
        return evaluate(self.predictions.predicted, self.predictions.scores)


def results_of(run: Path) -> list[RunResult]:
    """The results below `run`, in the order of splits. Raises RunError if there is none."""
    folders = [run] if (run / TEST).exists() else sorted(
        (folder for folder in run.glob("split-*") if SPLIT.fullmatch(folder.name)), key=lambda f: int(f.name[6:])
    )  # fmt: skip
    if not folders:
        raise RunError(f"{run}: wanted a finished run with {TEST}, or a folder of split-1, split-2 ..., found neither")
    return [_result(folder) for folder in folders]


def _result(folder: Path) -> RunResult:
    if not (folder / TEST).exists():
        raise RunError(f"{folder}: wanted a finished run with {TEST}, found none; --resume finishes it")
    facts = read_json(folder / METRICS)
    return RunResult(folder, int(facts["split"]), read_predictions(folder / TEST), facts)


def save_baseline(
    folder: Path, found: Baseline, collection: Collection, parts: Parts, split: int, seconds: float
) -> None:
    """A folder that `results_of` reads, of a baseline's predictions for one split."""
    folder.mkdir(parents=True)
    ids = tuple(collection.ids[row] for row in parts.test.rows)
    predictions = Predictions(ids, found.test, parts.test.scores)
    write_predictions(folder / TEST, predictions)
    test = evaluate(found.test, parts.test.scores).as_dict()
    facts = {"system": found.name, "chosen": found.chosen, "split": split, "test": test, "seconds": round(seconds, 1),
             "val_rho": finite(spearman(found.val, parts.val.scores)), "selected_on": parts.selection,
             "features": str(collection.path), "fingerprint": collection.spec.fingerprint}  # fmt: skip
    write_json(folder / METRICS, facts)
