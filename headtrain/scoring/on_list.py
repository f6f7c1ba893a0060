"""Heads on any labelled images of any collection: how well they rank images that they never saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.datasets.any_table import table_lines
from amnet_common.datasets.spelling import own_names
from amnet_common.errors import DatasetError, RunError
from headtrain.evaluation.predictions import Predictions
from headtrain.features.seen import content_keys, from_text
from headtrain.heads.head import Head
from headtrain.scoring.ensemble import predict_together
from headtrain.scoring.scores import refuse_other_shape

LEAST = 2  # images that a rank correlation needs


@dataclass(frozen=True)
class Labelled:
    """Hold images with human scores, and how many were left out, by reason."""

    rows: np.ndarray  # (n,) int64
    scores: np.ndarray  # (n,) float64
    left_out: Mapping[str, int]


def labelled(collection: Collection, name: str | None, heads: Sequence[Head]) -> Labelled:
    """Return the images of a list, or all that have a score; those without features, and those that one of the heads
    was trained on, are left out.

    Raises CollectionError if there is no such list, RunError if fewer than 2 images are left.
    """
    if name:
        split = collection.split(name)
        rows, scores = split.rows, split.scores
    else:
        rows = np.flatnonzero(~np.isnan(collection.labels))
        scores = collection.labels[rows]
    done = collection.status[rows] == DONE
    keys = content_keys(collection, rows)
    seen = np.zeros(len(rows), bool)
    for head in heads:
        seen |= np.isin(keys, from_text(head.provenance.trained_on if head.provenance else ""))
    keep = done & ~seen
    if keep.sum() < LEAST:
        raise RunError(f"{collection.path}: expected at least {LEAST} images with score and features that no head was "
                       f"trained on, found {keep.sum()} of {len(rows)}; of a folder of splits name the head whose test "
                       "list they are")  # fmt: skip
    left_out = {"without features": int((~done).sum()), "trained on": int((done & seen).sum())}
    return Labelled(rows[keep], scores[keep], left_out)


def tested(heads: Sequence[Head], collection: Collection, images: Labelled, views: Sequence[int]) -> Predictions:
    """Compute what the heads together say of labelled images over `views`. Raises SpecError, CollectionError."""
    for head in heads:
        refuse_other_shape(head, collection)
    said = predict_together(heads, collection, images.rows, views)
    return Predictions(tuple(collection.ids[row] for row in images.rows), said.score, images.scores)


def read_categories(path: Path, column: str) -> dict[str, str]:
    """Read the category of each image of a CSV table with the columns id and `column`. Raises DatasetError."""
    found: dict[str, str] = {}
    for where, line in table_lines(path, "--categories", ("id", column)):
        if line["id"] in found:
            raise DatasetError(f"{where}: expected each image once, found {line['id']!r} again")
        found[line["id"]] = line[column]
    return found


def by_category(predictions: Predictions, categories: Mapping[str, str]) -> Iterator[tuple[str, Predictions]]:
    """Yield the predictions of each category in the order of their names; images without one are left out."""
    own = own_names([*categories], predictions.ids)
    known = {own.get(id_, id_): category for id_, category in categories.items()}
    of_category: dict[str, list[int]] = {}
    for place, id_ in enumerate(predictions.ids):
        if known.get(id_):
            of_category.setdefault(known[id_], []).append(place)
    for category in sorted(of_category):
        places = of_category[category]
        yield category, Predictions(tuple(predictions.ids[place] for place in places), predictions.predicted[places],
                                    predictions.scores[places])  # fmt: skip
