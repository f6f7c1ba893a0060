"""The images of a split: train, validation and test, and what is done about images without features."""

from dataclasses import dataclass

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, FAILED
from amnet_common.errors import CollectionError, MissingRowsError
from amnet_common.seeds import keyed_philox

VALIDATION_SHARE = 0.1  # of the training list, where a data set (SUN) has no validation list


@dataclass(frozen=True)
class Subset:
    """Hold the images of one list that have features."""

    rows: np.ndarray  # (n,) int64
    scores: np.ndarray  # (n,) float64, on the data's scale
    left_out: int  # images of the list without features


@dataclass(frozen=True)
class Subsets:
    """Hold the three subsets of a split. `selection` says where the validation images come from."""

    selection: str
    train: Subset
    val: Subset
    test: Subset
    optimistic: bool = False  # the test list validates as well: it chooses the epoch


def split_subsets(
    collection: Collection, split: int, seed: int, allow_missing: bool, select_on: str = "validation"
) -> Subsets:
    """Return the train, validation and test subsets of split number `split`.

    `select_on` test: the test list validates as well, as in the authors' code on SUN; the result is then `optimistic`.

    Raises CollectionError if the collection has no such split, or a subset with fewer than 2 images
    with features, or with the same score for all;
    MissingRowsError if images of it have no features and `allow_missing` is not given.
    """
    train, test = collection.split(f"train_{split}"), collection.split(f"test_{split}")
    if select_on == "test":
        val, selection = test, selection_on_test(split)
        lists = [(s.rows, s.scores) for s in (train, val, test)]
    elif f"val_{split}" in collection.splits:
        val, selection = collection.split(f"val_{split}"), f"val_{split}"
        lists = [(s.rows, s.scores) for s in (train, val, test)]
    else:
        order = np.random.Generator(keyed_philox("validation", seed, split)).permutation(len(train.rows))
        count = round(VALIDATION_SHARE * len(order))
        held, kept = np.sort(order[:count]), np.sort(order[count:])
        selection = f"a seeded tenth of train_{split}"
        lists = [
            (train.rows[kept], train.scores[kept]),
            (train.rows[held], train.scores[held]),
            (test.rows, test.scores),
        ]
    if not allow_missing:
        refuse_missing(collection, np.concatenate([rows for rows, _ in lists]))
    subsets = tuple(_with_features(collection, rows, scores) for rows, scores in lists)
    for name, subset in zip(("training", "validation", "test"), subsets, strict=True):
        if len(subset.rows) < 2:
            raise CollectionError(f"{collection.path}: expected at least 2 {name} images with features in split "
                                  f"{split}, found {len(subset.rows)}")  # fmt: skip
        if np.ptp(subset.scores) == 0:
            raise CollectionError(f"{collection.path}: expected different scores of the {name} images of split "
                                  f"{split}, found {subset.scores[0]:g} for all {len(subset.rows)}: nothing can be "
                                  "learnt or ranked there; amnet-cache relabel gives other scores")  # fmt: skip
    train_subset, val_subset, test_subset = subsets
    return Subsets(selection, train_subset, val_subset, test_subset, optimistic=select_on == "test")


def selection_on_test(split: int) -> str:
    """Return what `selection` says where the test list validates."""
    return f"test_{split}, which makes the result optimistic"


def count_tested_elsewhere(collection: Collection, split: int, val: Subset) -> int:
    """Count the validation images of a split that stand in the test list of another one."""
    others = [collection.split(name).rows for name in collection.splits
              if name.startswith("test_") and name != f"test_{split}"]  # fmt: skip
    return int(np.isin(val.rows, np.concatenate(others)).sum()) if others else 0


def refuse_missing(collection: Collection, rows: np.ndarray) -> None:
    """Raise MissingRowsError, which counts the pending and failed, if some of `rows` have no features."""
    missing = rows[collection.status[rows] != DONE]
    if len(missing):
        failed = int((collection.status[missing] == FAILED).sum())
        raise MissingRowsError(
            f"{collection.path}: expected features of all {len(rows)} images of the split, found {failed} failed and "
            f"{len(missing) - failed} pending; run the same amnet-extract again (with --retry-failed for the failed), "
            "or leave them out with --allow-missing"
        )


def _with_features(collection: Collection, rows: np.ndarray, scores: np.ndarray) -> Subset:
    keep = collection.status[rows] == DONE
    return Subset(rows[keep], scores[keep], int((~keep).sum()))
