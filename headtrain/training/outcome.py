"""The end of a run: its best checkpoint is tested, once, then or later, and what came out is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import with_lists_of
from amnet_common.errors import RunError
from amnet_common.only_writer import only_writer
from headtrain.compute.kernels import Kernels
from headtrain.evaluation.predictions import write_predictions
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import load_head
from headtrain.runs.documents import Begun, Result, other_than, read_begun, read_result, write_result
from headtrain.runs.folder import RESULT, RUN, STATE, TEST
from headtrain.runs.results import made_from, predictions_of_test, refuse_diverged, with_test
from headtrain.training.epoch import predict_subset
from headtrain.training.member import Member
from headtrain.training.planned import Setup, identity_of


def finish(member: Member, setup: Setup, predicted: np.ndarray | None) -> Result:
    """Write what came out of a member that is finished, and what its best checkpoint predicts for the test list; None:
    it is not to be tested. Raises OutputError.
    """
    run, epochs = member.planned.run, member.epochs
    best = [epoch for epoch in epochs if epoch.best][-1]
    lowest = [epoch for epoch in epochs if epoch.lowest_mse][-1:] or [best]
    trained = Result(
        run, setup.split, best=best, lowest_mse=lowest[0], epochs=len(epochs), preset=member.config.preset,
        seconds=sum(epoch.seconds for epoch in epochs),
    )  # fmt: skip
    if predicted is not None:
        result = tested(trained, setup, predicted)
    else:
        result = replace(made_from(trained, setup.collection, setup.subsets), tested=False)
        write_result(result)
    drop_state(run)
    return result


def drop_state(run: Path) -> None:
    """Remove what a finished run was resumed from, unless it is to be kept."""
    if not read_begun(run).keep_state:
        (run / STATE).unlink(missing_ok=True)


def predict_test(runs: Sequence[Path], setup: Setup, view: int) -> np.ndarray:
    """Compute what the best checkpoints of runs predict for the test list, which is read once: (N, n) float64.

    Raises CollectionError for damaged features.
    """
    heads = [load_head(run, setup.device) for run in runs]
    return predict_subset(heads, setup.collection, setup.subsets.test, view) if heads else np.empty((0, 0))


def tested(trained: Result, setup: Setup, predicted: np.ndarray) -> Result:
    """Write test.csv, then metrics.json, of a run whose best checkpoint predicts these scores (n,) for its test list.

    Raises OutputError.
    """
    predictions = predictions_of_test(predicted, setup.collection, setup.subsets)
    result = with_test(trained, predictions, setup.collection, setup.subsets)
    write_predictions(trained.run / TEST, predictions)
    write_result(result)
    return result


def tested_later(run: Path, collection: Collection, device: str) -> Result:
    """Test a run of --no-test on its own test list, once; it is then as if it had been tested at its end.

    Raises RunError for a run that is not finished, has been tested, or is of other features or lists, BusyError while
    another command is at it, OutputError and CollectionError.
    """
    with only_writer(run, "test"):
        begun, trained = to_be_tested(run)
        collection = with_lists_of(collection, begun.folding)
        asked = begun.config.training
        assert begun.split is not None, "it has been trained"
        subsets = split_subsets(collection, begun.split, asked.data_seed, True, asked.select_on)
        setup = Setup(collection, subsets, begun.split, device, kernels=Kernels(begun.precision))
        if lines := other_than(run, identity_of(setup, begun.config)):
            raise RunError(f"{run} is of other features or lists than {collection.path}: {'; '.join(lines)}; "
                           "--head tests it on any")  # fmt: skip
        (predicted,) = predict_test([run], setup, asked.eval_view)
        return tested(trained, setup, predicted)


def to_be_tested(run: Path) -> tuple[Begun, Result]:
    """Read what a run is and what came out. Raises RunError unless it is finished and has not been tested."""
    if not (run / RUN).exists() or (begun := read_begun(run)).imported_from or begun.split is None:
        raise RunError(f"{run}: expected a run of amnet-head train, found none; --head tests any head")
    refuse_diverged(run)
    if not (run / RESULT).exists():
        raise RunError(f"{run}: expected a finished run, found one that is not; --resume finishes it")
    if (trained := read_result(run)).tested:
        raise RunError(f"{run}: expected a run of --no-test, found one that has been tested; amnet-head table "
                       "shows its figures")  # fmt: skip
    return begun, trained
