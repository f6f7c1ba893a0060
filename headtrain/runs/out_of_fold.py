"""The predictions of every image by a head that has not seen it, in one table: what the folds of a run tested."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.datasets.folds import times_tested
from amnet_common.errors import RunError
from amnet_common.files import whole_file
from headtrain.evaluation.predictions import Predictions
from headtrain.runs.results import RunResult, results_of

OUT_OF_FOLD = "out_of_fold.csv"
HEADER = ("id", "human", "predicted", "fold")


@dataclass(frozen=True)
class OutOfFold:
    """Hold one prediction of each image, with the splits that tested it: one, or one of each repeat."""

    predictions: Predictions
    folds: tuple[tuple[int, ...], ...]  # of each image


def out_of_fold(results: Sequence[RunResult], ids: Sequence[str]) -> OutOfFold:
    """Put the test predictions of a run's splits together, in the order of `ids`; of several of an image the mean."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for one in results:
        said = one.predictions
        for id_, score, predicted in zip(said.ids, said.scores.tolist(), said.predicted.tolist(), strict=True):
            found.setdefault(id_, []).append((one.split, score, predicted))
    kept = [id_ for id_ in ids if id_ in found]
    scores, predicted = (np.array([np.mean([line[k] for line in found[id_]]) for id_ in kept]) for k in (1, 2))
    folds = tuple(tuple(split for split, _, _ in found[id_]) for id_ in kept)
    return OutOfFold(Predictions(tuple(kept), predicted, scores), folds)


def write_out_of_fold(folder: Path, collection: Collection) -> OutOfFold | None:
    """Write the table of a folder of splits, whole or not at all, if these are folds and all have been tested.

    Returns None, and writes nothing, if not. Raises OutputError.
    """
    tests = {int(name.removeprefix("test_")) for name in collection.splits if name.startswith("test_")}
    if not times_tested(collection.splits):
        return None
    try:
        results = results_of(folder)
    except RunError:  # not finished, diverged, or not tested
        return None
    if {one.split for one in results} != tests:
        return None
    found = out_of_fold(results, collection.ids)
    with (
        whole_file(folder / OUT_OF_FOLD) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_cells(found))
    return found


def _cells(found: OutOfFold) -> list[list[str]]:
    said = found.predictions
    lines = zip(said.ids, said.scores.tolist(), said.predicted.tolist(), found.folds, strict=True)
    return [[id_, repr(score), repr(predicted), " ".join(map(str, folds))] for id_, score, predicted, folds in lines]
