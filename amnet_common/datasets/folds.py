"""Folds: images dealt into parts of like scores, each of which tests once what is trained on the others.

What is drawn depends on ids, scores, groups and the seed, never on the order of rows: the same table gives the same
folds in any collection. Images of one group never stand in two parts.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from amnet_common.datasets.records import SplitList, refuse_many
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.seeds import uniforms
from amnet_common.small_texts import typed

MOST_FOLDED = 5_000  # images: with more, one test list is large enough
USUAL = 5
VALIDATION = 50  # images that a validation list has if it can: a rank correlation of 50 is known to 0.14, of 30 to 0.19
SHARES = (5, 8)  # so it is a fifth to an eighth of what is not tested; an eighth of five folds is a tenth of all
LEAST = 3  # groups: one to train, one to choose and one to test


@dataclass(frozen=True)
class Folding:
    """Hold how images are dealt. Raises ConfigError for less than one fold or repeat."""

    folds: int = USUAL  # 1: a single split, whose test list is a fifth
    repeats: int = 1  # dealings, each with draws of its own
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("folds", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name}: expected 1 or more, found {getattr(self, name)}")
        refuse_many(3 * self.folds * self.repeats, f"--folds {self.folds} --repeats {self.repeats}")

    def __str__(self) -> str:
        dealt = f"{self.folds} folds" if self.folds > 1 else "one split of 70, 10 and 20 %"
        return dealt + (f", {self.repeats} times" if self.repeats > 1 else "")

    def as_dict(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Folding":
        """Read what `as_dict` gave. Raises ValueError for values that cannot be."""
        return cls(**{name: typed(found, name, int, getattr(cls, name)) for name in ("folds", "repeats", "seed")})


def usual_folding(images: int) -> Folding:
    """Return how so many images are dealt where nobody says how: with many, once."""
    return Folding(USUAL if images <= MOST_FOLDED else 1)


class Group(NamedTuple):
    """Hold images that stay together."""

    name: str  # the first of their ids in the order of the alphabet
    rows: tuple[int, ...]
    score: float  # their mean


def fold_lists(
    ids: Sequence[str], scores: np.ndarray, together: np.ndarray, folding: Folding, where: str
) -> dict[str, SplitList]:
    """Return the lists train_1, val_1, test_1, train_2 ... of all repeats, each in the order of ids.

    `scores` (N,) float64, NaN for images that stand in no list; `together` (N,) int64: equal for images that stay
    together. Raises DatasetError, which begins with `where`, for fewer images or groups than folds.
    """
    groups = _groups(ids, scores, together)
    images, parts = sum(len(group.rows) for group in groups), folding.folds if folding.folds > 1 else USUAL
    for count, least, what in ((images, 2 * parts, "images with a score"), (len(groups), max(parts, LEAST), "groups")):
        if count < least:
            raise DatasetError(f"{where}: expected at least {least} {what} for {parts} folds, found {count}")
    found: dict[str, SplitList] = {}
    for repeat in range(folding.repeats):
        dealt = _deal(groups, parts, folding.seed, repeat)
        for fold in range(folding.folds):
            number, rest = (
                repeat * folding.folds + fold + 1,
                [g for part in dealt[:fold] + dealt[fold + 1 :] for g in part],
            )
            train, val = _validated(rest, folding.seed, number)
            for name, some in (("train", train), ("val", val), ("test", dealt[fold])):
                rows = np.array(sorted((row for group in some for row in group.rows), key=ids.__getitem__), np.int64)
                found[f"{name}_{number}"] = SplitList(rows, scores[rows])
    return found


def united(*labels: Sequence[Hashable]) -> np.ndarray:
    """Join images that any of `labels` (N each) gives the same label, other than None: (N,) int64, equal for images
    that are joined, whether directly or by way of others.
    """
    first = list(range(len(labels[0])))

    def root(row: int) -> int:
        while first[row] != row:
            first[row] = first[first[row]]
            row = first[row]
        return row

    for column in labels:
        seen: dict[Hashable, int] = {}
        for row, label in enumerate(column):
            if label is not None:
                one, other = root(row), root(seen.setdefault(label, row))
                first[max(one, other)] = min(one, other)
    return np.array([root(row) for row in range(len(first))], np.int64)


def times_tested(splits: Mapping[str, SplitList]) -> int:
    """Count how often each image of the lists is tested, if as often as any other, and never trained on then; else 0.

    So it tells folds, of which every image has a prediction by a head that has not seen it.
    """
    tests = [split.rows for name, split in splits.items() if name.startswith("test_")]
    if not tests:
        return 0
    rows, times = np.unique(np.concatenate(tests), return_counts=True)
    listed = np.unique(np.concatenate([split.rows for split in splits.values()]))
    even = len(rows) and len(listed) == len(rows) and (times == times[0]).all()
    return int(times[0]) if even and len(tests) > 1 and not _overlapping(splits) else 0


def _overlapping(splits: Mapping[str, SplitList]) -> bool:
    """Whether two lists of one split share an image."""
    of_split: dict[str, list[np.ndarray]] = {}
    for name, split in splits.items():
        of_split.setdefault(name.rpartition("_")[2], []).append(split.rows)
    return any(np.intersect1d(a, b).size for lists in of_split.values() for a, b in combinations(lists, 2))


def _groups(ids: Sequence[str], scores: np.ndarray, together: np.ndarray) -> list[Group]:
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(~np.isnan(scores)).tolist():
        members.setdefault(int(together[row]), []).append(row)
    return [Group(min(ids[row] for row in rows), tuple(rows), math.fsum(scores[rows].tolist()) / len(rows))
            for rows in members.values()]  # fmt: skip


def _deal(groups: Sequence[Group], parts: int, *key: int | str) -> list[list[Group]]:
    """Deal groups into parts of as equal a size as can be: the large ones first, and those of like size in the order
    of their scores, each to the smallest part, a drawn one of several. So each run of as many scores goes to all parts.
    """
    draws = {group.name: _two(uniforms("fold", *key, group.name)) for group in groups}
    order = sorted(groups, key=lambda group: (-len(group.rows).bit_length(), group.score, draws[group.name]))
    dealt: list[list[Group]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    for group in order:
        smallest = [part for part in range(parts) if sizes[part] == min(sizes)]
        chosen = smallest[int(draws[group.name][1] * len(smallest))]
        dealt[chosen].append(group)
        sizes[chosen] += len(group.rows)
    return dealt


def _validated(rest: Sequence[Group], seed: int, number: int) -> tuple[list[Group], list[Group]]:
    """Training and validation groups of what is not tested."""
    images = sum(len(group.rows) for group in rest)
    shares = max(2, min(max(SHARES[0], min(SHARES[1], images // VALIDATION)), len(rest), images // 2))
    dealt = _deal(rest, shares, seed, "validation", number)
    off = [abs(sum(len(group.rows) for group in part) - images / shares) for part in dealt]
    val = off.index(min(off))
    return [group for place, part in enumerate(dealt) if place != val for group in part], dealt[val]


def _two(stream: Iterator[float]) -> tuple[float, float]:
    return next(stream), next(stream)
