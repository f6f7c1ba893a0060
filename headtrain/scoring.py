"""A head's scores for every image of a collection, as arrays or as a CSV file."""

import csv
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import OutputError, SpecError
from amnet_common.layout import DONE
from amnet_common.spec import spec_differences
from headtrain.batches import ordered_picks
from headtrain.head import Head
from headtrain.prediction import predict_picks

BATCH = 64
TRUNK_FIELDS = ("trunk", "variant", "weights_sha256", "pixels")  # of the spec: what the features of a view depend on


class Scores(NamedTuple):
    """Scores of all N images of a collection; NaN where an image has no features."""

    ids: tuple[str, ...]
    score: np.ndarray  # (N,) float32
    steps: np.ndarray  # (N, T) float32; they add up to the score


def trunk_differences(head: Head, collection: Collection) -> list[str]:
    """One line for each field in which the trunks of head and collection differ."""
    if head.provenance is None:
        return []
    lines = spec_differences(head.provenance.spec, collection.spec)
    return [line for line in lines if line.split(":")[0] in TRUNK_FIELDS]


def score_collection(head: Head, collection: Collection, view: int = 0) -> Scores:
    """Scores of one view of every image, every view read being compared with its checksum.

    Raises CollectionError for damaged features, SpecError if the head wants features of another shape.
    """
    refuse_other_shape(head, collection)
    steps = np.full((len(collection), head.config.steps), math.nan, np.float32)
    for rows, part in score_rows(head, collection, view):
        steps[rows] = part
    return Scores(collection.ids, steps.sum(1), steps)


def refuse_other_shape(head: Head, collection: Collection) -> None:
    """SpecError if the head was not made for views of the collection's shape."""
    wanted, shape = (head.config.places, head.config.channels), collection.view_shape
    found = (math.prod(shape[:-1]), shape[-1])
    if wanted != found:
        raise SpecError(f"{collection.path}: wanted {wanted[0]} places of {wanted[1]} channels, found {found}")


def score_rows(head: Head, collection: Collection, view: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (n,) that have features and their step scores (n, T), batch by batch."""
    rows = np.flatnonzero(collection.status == DONE)
    for picks, output in predict_picks(head, collection, ordered_picks(rows, view, BATCH)):
        yield picks.rows, output.steps.numpy()


def write_scores(path: Path, scores: Scores) -> None:
    """A CSV file `id,score,step_1,...,step_T`, whole or not at all; images without features have empty cells.

    Raises OutputError if it cannot be written.
    """
    header = ["id", "score", *(f"step_{t + 1}" for t in range(scores.steps.shape[1]))]
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(_lines(scores))
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"--out {path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _lines(scores: Scores) -> Iterable[list[str]]:
    for id_, score, steps in zip(scores.ids, scores.score, scores.steps, strict=True):
        yield [id_, *("" if math.isnan(value) else f"{value:.9g}" for value in (score, *steps))]
