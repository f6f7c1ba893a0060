"""The results of finished runs: one folder with test.csv, or a folder of split-1, split-2, ... with one each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import recorded_folding
from amnet_common.errors import OutputError, RunError
from amnet_common.files import whole_folder
from headtrain.evaluation.bootstrap import interval
from headtrain.evaluation.metrics import Metrics, evaluate
from headtrain.evaluation.predictions import Predictions, read_predictions, write_predictions
from headtrain.features.splits import Subsets
from headtrain.runs.documents import Result, read_diverged, read_result, write_result
from headtrain.runs.features import features_of
from headtrain.runs.folder import RESULT, RUN, TEST, split_folders


@dataclass(frozen=True)
class RunResult:
    """Hold the test of one split: what metrics.json says, and the predictions themselves."""

    result: Result
    predictions: Predictions

    @property
    def run(self) -> Path:
        """Return the folder of the run."""
        return self.result.run

    @property
    def split(self) -> int:
        """Return the number of the split."""
        return self.result.split

    @property
    def metrics(self) -> Metrics:
        """Compute the metrics anew from the predictions."""
        return evaluate(self.predictions.predicted, self.predictions.scores)


def mean_lengths(results: Sequence[RunResult]) -> tuple[float, float]:
    """Return how many images with features the test lists and the training lists of splits have in the mean; 0 where
    they do not say.
    """
    test, train = (float(np.mean([one.result.images.get(name, 0) for one in results])) for name in ("test", "train"))
    return test, train


class DivergedRunError(RunError):
    """Report a run that has no result, and never will: its training diverged."""


class UntestedRunError(RunError):
    """Report a run that was trained with --no-test, and has not been tested since."""


def results_of(run: Path) -> list[RunResult]:
    """Read the results below `run`, in the order of splits.

    Raises RunError if there is none, or if one is not finished or damaged.
    """
    return [_result(folder) for folder in folders_of(run)]


def folders_of(run: Path) -> list[Path]:
    """List the folders of a run: its own, or those of its splits. Raises RunError if there is none."""
    folders = [run] if (run / TEST).exists() or (run / RUN).exists() else split_folders(run)
    if not folders:
        raise RunError(f"{run}: expected a finished run with {TEST}, or a folder of split-1, split-2 ..., "
                       "found neither")  # fmt: skip
    return folders


def _result(folder: Path) -> RunResult:
    refuse_diverged(folder)
    if is_untested(folder):
        raise UntestedRunError(f"{folder}: expected a run with a test, found one of --no-test; amnet-head test "
                               f"{folder} tests it")  # fmt: skip
    if not (folder / TEST).exists():
        raise RunError(f"{folder}: expected a finished run with {TEST}, found none; --resume finishes it")
    return RunResult(read_result(folder), read_predictions(folder / TEST))


def refuse_diverged(folder: Path) -> None:
    """Raise DivergedRunError for a run that diverged."""
    if diverged := read_diverged(folder):
        raise DivergedRunError(f"{folder}: expected a finished run, found one that diverged after epoch "
                               f"{diverged.epoch}: {diverged.why}")  # fmt: skip


def is_untested(folder: Path) -> bool:
    """Tell whether a run is finished, and has not been tested. Raises DamagedRunError."""
    return (folder / RESULT).exists() and not read_result(folder).tested


def predictions_of_test(predicted: np.ndarray, collection: Collection, subsets: Subsets) -> Predictions:
    """Put predictions (n_test,) beside the ids and the human scores of the test images."""
    return Predictions(tuple(collection.ids[row] for row in subsets.test.rows), predicted, subsets.test.scores)


def with_test(result: Result, predictions: Predictions, collection: Collection, subsets: Subsets) -> Result:
    """Add to a result what the test gives, and what it was made from."""
    found = made_from(result, collection, subsets)
    return replace(found, test=evaluate(predictions.predicted, predictions.scores), interval=interval(predictions),
                   tested=True)  # fmt: skip


def made_from(result: Result, collection: Collection, subsets: Subsets) -> Result:
    """Add to a result what it was made from."""
    named = (("train", subsets.train), ("val", subsets.val), ("test", subsets.test))
    return replace(
        result,
        seconds=round(result.seconds, 1),
        selected_on=subsets.selection,
        optimistic=subsets.optimistic,
        images={name: len(subset.rows) for name, subset in named},
        left_out={name: subset.left_out for name, subset in named},
        fingerprint=collection.spec.fingerprint,
        folding=recorded_folding(collection.provenance),
        **features_of(collection),
    )


def save_result(result: Result, predicted: np.ndarray, collection: Collection, subsets: Subsets) -> None:
    """Write predictions (n_test,) of a baseline or an evaluation into a new folder, which `results_of` reads.

    The folder is `result.run`. Raises OutputError if it exists or cannot be made.
    """
    predictions = predictions_of_test(predicted, collection, subsets)
    if result.run.exists():
        raise OutputError(f"--out {result.run}: expected a new folder, found one that exists; give another name")
    with whole_folder(result.run, "--out") as made:
        write_predictions(made / TEST, predictions)
        write_result(replace(with_test(result, predictions, collection, subsets), run=made))
