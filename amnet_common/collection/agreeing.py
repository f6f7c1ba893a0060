"""Images, scores and lists of several collections as one, by the images' ids: all must say the same of what they share.

An image is the same where its id is, whatever row it stands in; a name may be spelt in another form of Unicode.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from amnet_common.collection.reader import Collection
from amnet_common.datasets.records import SplitList
from amnet_common.datasets.spelling import own_names
from amnet_common.errors import CollectionError

CURE = "amnet-cache relabel --labels TABLE gives a collection the scores and lists of a table"


@dataclass(frozen=True)
class Rows:
    """Hold all images of several collections, those of the first before those that another one adds.

    Letters: N images, n_k of them in collection k.
    """

    ids: tuple[str, ...]  # N
    there: tuple[np.ndarray, ...]  # of each collection (N,) int64: the row there, -1 where it lacks the image
    here: tuple[np.ndarray, ...]  # of each collection (n_k,) int64: the number of its row's image among all

    def shared(self, one: int, other: int) -> np.ndarray:
        """Return the numbers of the images that two collections both have, (n,) int64."""
        return np.flatnonzero((self.there[one] >= 0) & (self.there[other] >= 0))


def rows_of(collections: Sequence[Collection]) -> Rows:
    """Match the images of collections by their ids. Raises CollectionError where two share none."""
    number: dict[str, int] = {}
    here = []
    for collection in collections:
        own = own_names(collection.ids, number.keys()) if number else {}
        names = [own.get(id_, id_) for id_ in collection.ids]
        for name in names:
            number.setdefault(name, len(number))
        here.append(np.array([number[name] for name in names], np.int64))
    there = [np.full(len(number), -1) for _ in here]
    for mine, numbers in zip(there, here, strict=True):
        mine[numbers] = np.arange(len(numbers))
    found = Rows(tuple(number), tuple(there), tuple(here))
    for k, other in enumerate(collections[1:], 1):
        if not len(found.shared(0, k)):
            raise CollectionError(f"{other.path}: expected images of {collections[0].path} by their ids, such as "
                                  f"{collections[0].ids[0]}, found none, but {other.ids[0]} and the like; extract the "
                                  "same images below the same root")  # fmt: skip
    return found


def is_silent(collection: Collection) -> bool:
    """Tell whether a collection has neither scores nor lists: it then contradicts nothing."""
    return not collection.splits and bool(np.isnan(collection.labels).all())


def agreed_labels(collections: Sequence[Collection], rows: Rows) -> np.ndarray:
    """Return the scores of all images, (N,) float64, NaN for none.

    Raises CollectionError where two collections say different things of one image.
    """
    labels = np.full(len(rows.ids), np.nan)
    known = np.zeros(len(rows.ids), bool)  # of which images a collection has spoken
    first: Collection | None = None
    for collection, here in zip(collections, rows.here, strict=True):
        if is_silent(collection):
            continue
        first = first or collection
        before, now = labels[here], collection.labels
        unlike = known[here] & _unlike(before, now)
        if unlike.any():
            row = int(np.argmax(unlike))
            raise CollectionError(
                f"{collection.path}: expected the scores of {first.path}, found {int(unlike.sum())} images with "
                f"others, such as {collection.ids[row]}: {_said(now[row])} where {_said(before[row])} was expected; "
                f"{CURE}"
            )
        labels[here], known[here] = now, True
    return labels


def agreed_lists(collections: Sequence[Collection], rows: Rows) -> dict[str, SplitList]:
    """Return the lists of all images: those of the first collection that has any, in their order, then what others add
    of images that it lacks.

    Raises CollectionError where lists differ in their names, or in images or scores that both collections have.
    """
    speaking = [k for k, collection in enumerate(collections) if not is_silent(collection)]
    if not speaking:
        return {}
    first = speaking[0]
    lists = _lists_of(collections[first], rows.here[first])
    known = rows.there[first] >= 0
    for k in speaking[1:]:
        other, own = collections[k], _lists_of(collections[k], rows.here[k])
        where = f"{other.path}: expected the lists of {collections[first].path}"
        if own.keys() != lists.keys():
            raise CollectionError(f"{where}, {', '.join(lists) or 'none'}, found {', '.join(own) or 'none'}; {CURE}")
        both = known & (rows.there[k] >= 0)
        for name, (numbers, scores) in own.items():
            _refuse_other_list(f"{where}, found another {name}", lists[name], own[name], both, rows.ids)
            fresh = ~known[numbers]
            lists[name] = np.append(lists[name][0], numbers[fresh]), np.append(lists[name][1], scores[fresh])
        known = known | (rows.there[k] >= 0)
    return {name: SplitList(*found) for name, found in lists.items()}


List = tuple[np.ndarray, np.ndarray]  # numbers of images (n,) int64, scores (n,) float64


def _lists_of(collection: Collection, here: np.ndarray) -> dict[str, List]:
    splits: Mapping[str, SplitList] = collection.splits
    return {name: (here[split.rows], split.scores) for name, split in splits.items()}


def _refuse_other_list(where: str, wanted: List, found: List, both: np.ndarray, ids: Sequence[str]) -> None:
    """Raise CollectionError unless two lists have the same of the images `both` (N,), with the same scores."""
    scores = [np.full(len(ids), np.nan) for _ in range(2)]
    inside = [np.zeros(len(ids), bool) for _ in range(2)]
    for one, there, (numbers, values) in zip(scores, inside, (wanted, found), strict=True):
        one[numbers], there[numbers] = values, True
    unlike = both & (inside[0] != inside[1])
    if unlike.any():
        row = int(np.argmax(unlike))
        raise CollectionError(f"{where}: {int(unlike.sum())} images stand in one of the two alone, such as {ids[row]}; "
                              f"{CURE}")  # fmt: skip
    unlike = both & inside[0] & _unlike(*scores)
    if unlike.any():
        row = int(np.argmax(unlike))
        raise CollectionError(f"{where}: {int(unlike.sum())} images have other scores, such as {ids[row]}: "
                              f"{scores[1][row]:g} where {scores[0][row]:g} was expected; {CURE}")  # fmt: skip


def _unlike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))


def _said(score: float) -> str:
    return "none" if np.isnan(score) else f"{score:g}"
