"""The results of finished runs: one folder with test.csv, or a folder of split-1, split-2, ... with one each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import OutputError, RunError
from headtrain.evaluation.metrics import Metrics, evaluate, finite
from headtrain.evaluation.predictions import Predictions, read_predictions, write_predictions
from headtrain.features.splits import Subsets
from headtrain.runs.folder import METRICS, TEST, read_json, write_json

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
        raise RunError(
            f"{run}: expected a finished run with {TEST}, or a folder of split-1, split-2 ..., found neither"
        )
    return [_result(folder) for folder in folders]


def _result(folder: Path) -> RunResult:
    if not (folder / TEST).exists():
        raise RunError(f"{folder}: expected a finished run with {TEST}, found none; --resume finishes it")
    facts = read_json(folder / METRICS)
    return RunResult(folder, int(facts["split"]), read_predictions(folder / TEST), facts)


def save_result(
    folder: Path, predicted: np.ndarray, collection: Collection, subsets: Subsets, split: int, seconds: float,
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """A folder that `results_of` reads, of predictions (n_test,) for one split. Raises OutputError."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"--out {folder}: cannot be made: {error.strerror}") from error
    ids = tuple(collection.ids[row] for row in subsets.test.rows)
    write_predictions(folder / TEST, Predictions(ids, predicted, subsets.test.scores))
    numbers = {key: finite(value) if isinstance(value, float) else value for key, value in facts.items()}
    common = {"split": split, "test": evaluate(predicted, subsets.test.scores).as_dict(), "seconds": round(seconds, 1),
              "selected_on": subsets.selection, "features": str(collection.path),
              "fingerprint": collection.spec.fingerprint}  # fmt: skip
    write_json(folder / METRICS, numbers | common)
