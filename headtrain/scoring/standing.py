"""Which list each image of a collection stands in for the heads that score it, and what people said of it.

An image that a head was trained on says nothing of new ones. It is known by the bytes of its file, whatever the
collection's lists are; validation and test images are known where the lists are those that the head was trained on.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import with_lists_of
from amnet_common.errors import CollectionError, DatasetError
from headtrain.evaluation.bootstrap import Interval, interval
from headtrain.evaluation.metrics import spearman
from headtrain.evaluation.predictions import Predictions
from headtrain.features.seen import as_text, content_keys, from_text
from headtrain.features.splits import Subsets, split_subsets
from headtrain.heads.head import Head
from headtrain.runs.documents import folding_of
from headtrain.scoring.rows import ScoreRow, figure

TRAIN, VAL, TEST = "train", "val", "test"


@dataclass(frozen=True)
class Standing:
    """Hold what the N images of a collection are to the heads together."""

    lists: np.ndarray  # (N,) text: TRAIN, VAL, TEST, or empty
    human: np.ndarray  # (N,) float64, NaN where there is none


@dataclass(frozen=True)
class OfTest:
    """Hold how well a table ranks the test images that it has, and how many others stand in lists."""

    rho: float
    interval: Interval
    images: int
    others: Mapping[str, int]  # with a score of people: of TRAIN and VAL


def standing(heads: Mapping[str, Head], collection: Collection) -> Standing:
    """Find the list of each image: TRAIN if one of the heads was trained on it, VAL if it chose an epoch of one, TEST
    if it did neither and stands in a test list; else empty, and of all if it is not known what a head has seen.

    The score of people is that of the head's list, where there is one head; else the collection's.
    """
    count, human = len(collection), collection.labels.copy()
    none = Standing(np.full(count, "", "<U5"), human)
    keys, found = content_keys(collection, np.arange(count)), none.lists.copy()
    for path, head in heads.items():
        own = head.provenance
        if not own or not own.split:
            return none
        subsets = subsets_of(path, head, collection)
        if subsets is None and not own.trained_on:
            return none
        seen = (keys != 0) & np.isin(keys, from_text(own.trained_on))
        marks = [(TEST, subsets.test), (VAL, subsets.val), (TRAIN, subsets.train)] if subsets else []
        if own.config.training.select_on == TEST:
            marks = [mark for mark in marks if mark[0] != VAL]
        for name, subset in marks:
            found[subset.rows] = [_graver(name, before) for before in found[subset.rows].tolist()]
            if len(heads) == 1:
                human[subset.rows] = subset.scores
        found[seen] = TRAIN
    return Standing(found, human)


def subsets_of(path: str, head: Head, collection: Collection) -> Subsets | None:
    """Return the subsets of the split that a head was trained on, if the collection has them; None if its lists are
    others. `path`: of the run or checkpoint, which may say how lists were dealt.
    """
    own, where = head.provenance, Path(path)
    assert own is not None
    assert own.split is not None
    settings = own.config.training
    with contextlib.suppress(CollectionError, DatasetError):
        collection = with_lists_of(collection, folding_of(where if where.is_dir() else where.parent))
        subsets = split_subsets(collection, own.split, settings.data_seed, True, settings.select_on)
        if as_text(content_keys(collection, subsets.train.rows)) == own.trained_on:
            return subsets
    return None


def with_labels(table: Sequence[ScoreRow], rows: np.ndarray, known: Standing) -> list[ScoreRow]:
    """Return the rows of a table, which are `rows` (n,) of a collection, with the list and the score of people."""
    return [
        replace(one, split=str(known.lists[row]), human=figure(known.human[row]))
        for one, row in zip(table, rows.tolist(), strict=True)
    ]


def of_test(rows: Iterable[ScoreRow]) -> OfTest:
    """Compute the rank correlation over the test images of a table that people have scored; NaN for fewer than 2."""
    test: list[tuple[str, float, float]] = []
    others = {TRAIN: 0, VAL: 0}
    for row in rows:
        if row.score is not None and row.human is not None:
            if row.split == TEST:
                test.append((row.id, row.score, row.human))
            elif row.split in others:
                others[row.split] += 1
    if len(test) < 2:
        return OfTest(math.nan, Interval(math.nan, math.nan), len(test), others)
    ids, scores, human = zip(*test, strict=True)
    said = Predictions(ids, np.array(scores), np.array(human))
    return OfTest(spearman(said.predicted, said.scores), interval(said), len(test), others)


def _graver(name: str, before: str) -> str:
    order = ("", TEST, VAL, TRAIN)
    return max(name, before, key=order.index)
