"""Predictions for the lists of a split by what is already there: heads together, or another system's table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.datasets.csv_table import table_lines
from amnet_common.datasets.records import checked_score
from amnet_common.errors import DatasetError, RunError
from headtrain.features.splits import Subsets
from headtrain.heads.checkpoint import BEST, load_head
from headtrain.heads.head import Head
from headtrain.scoring.ensemble import say
from headtrain.scoring.scores import refuse_other_shape


@dataclass(frozen=True)
class Evaluated:
    """Hold the predictions for the validation and test images of a split, on the data's scale."""

    val: np.ndarray  # (n_val,) float64
    test: np.ndarray  # (n_test,) float64


def by_heads(heads: Sequence[Head], collection: Collection, subsets: Subsets, views: Sequence[int]) -> Evaluated:
    """Compute the mean of all heads' scores over `views`, validation and test images alike. Raises SpecError if a head
    was made for features of another shape, CollectionError for damaged features.
    """
    for head in heads:
        refuse_other_shape(head, collection)
    return Evaluated(*(say(heads, collection, subset.rows, views).score for subset in (subsets.val, subsets.test)))


def heads_for(runs: Sequence[Path], split: int, device: str) -> list[Head]:
    """Load the heads of `runs` (run folders, or folders of split-1, split-2 ...) that may be tested on this split.

    Raises RunError for a head that was trained on another split, whose training images stand in this test list.
    """
    heads = []
    for run in runs:
        head = load_head(run / f"split-{split}" if (run / f"split-{split}" / BEST).exists() else run, device)
        trained = head.provenance.split if head.provenance else None
        if trained not in (None, split):
            raise RunError(f"--head {run}: expected a head of split {split}, found one of split {trained}, which may "
                           "have been trained on the images of this test list")  # fmt: skip
        heads.append(head)
    return heads


def by_table(scores: Mapping[str, float], path: Path, collection: Collection, subsets: Subsets) -> Evaluated:
    """Look up what another system's table says of the images. Raises RunError if it misses some."""
    found = []
    for subset in (subsets.val, subsets.test):
        ids = [collection.ids[row] for row in subset.rows]
        missing = [id_ for id_ in ids if id_ not in scores]
        if missing:
            raise RunError(f"--scores {path}: expected all {len(ids)} images of the list, found {len(missing)} "
                           f"missing, such as {missing[0]}")  # fmt: skip
        found.append(np.array([scores[id_] for id_ in ids], np.float64))
    return Evaluated(*found)


def read_scores(path: Path) -> dict[str, float]:
    """Read a CSV table with the columns id and score. Raises DatasetError with file and line."""
    scores: dict[str, float] = {}
    for where, line in table_lines(path, "--scores", ("id", "score"), "surrogateescape"):
        if line["id"] in scores:
            raise DatasetError(f"{where}: expected each image once, found {line['id']!r} again")
        scores[line["id"]] = checked_score(line["score"], where)
    return scores
