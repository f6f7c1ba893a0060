"""Heads that see the same images through different features: each reads the collection that it was trained on.

The lists are those of the first collection, and an image is the same where its id is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.datasets.spelling import own_names
from amnet_common.errors import CollectionError, SpecError
from headtrain.features.splits import Subset, Subsets, refuse_missing
from headtrain.heads.head import Head
from headtrain.scoring.arranging import arranged, is_joint
from headtrain.scoring.on_splits import Evaluated, by_heads, count_seen, refuse_seen
from headtrain.scoring.scores import fits_shape, trunk_differences


@dataclass(frozen=True)
class Reader:
    """Hold a head of `run`, the collection that it reads, and the views of it."""

    run: Path
    head: Head
    collection: Collection
    views: Sequence[int]


@dataclass(frozen=True)
class Seen:
    """Hold the subsets of a split, and the rows of their validation and test images in other collections."""

    subsets: Subsets  # in rows of the first collection
    other: dict[Path, Subsets]  # by the collection's path, in its own rows; none for the first

    def of(self, collection: Collection) -> Subsets:
        """Return the subsets in the rows of a collection."""
        return self.other.get(collection.path, self.subsets)


def collection_of(run: Path, head: Head, collections: Sequence[Collection]) -> Collection:
    """Return the collection that a head reads: of its own spec, else the one of its trunk, else the one that fits; of
    several together those, joined.

    One collection alone is read whatever it holds. Raises SpecError where none fits, or several do that are unlike.
    """
    if head.provenance and is_joint(head.provenance):
        return arranged(str(run), head.provenance, collections)
    if len(collections) == 1:
        return collections[0]
    known = head.provenance.spec if head.provenance else {}
    of_shape = [one for one in collections if fits_shape(head, one)]
    for one in of_shape:
        if one.spec.as_dict() == known:
            return one
    of_trunk = [one for one in of_shape if not trunk_differences(head.provenance, one)]
    fits = of_trunk or of_shape
    if len(fits) != 1:
        named = ", ".join(str(one.path) for one in fits) or "none"
        raise SpecError(f"--head {run}: expected among --features the collection that it was trained on, or one alone "
                        f"that fits it, found {named} to fit; amnet-head show {run} tells its spec")  # fmt: skip
    return fits[0]


def in_common(first: Collection, others: Sequence[Collection], subsets: Subsets, allow_missing: bool) -> Seen:
    """Find the validation and test images of a split, in rows of `first`, in the `others` by their ids.

    `allow_missing`: images that one of them lacks, or has no features of, are left out of all. Raises CollectionError
    for missing images, or if fewer than 2 of a list are left; MissingRowsError for those without features.
    """
    rows = {other.path: [rows_in(first, part.rows, other) for part in (subsets.val, subsets.test)] for other in others}
    if not allow_missing:
        for other in others:
            _refuse_lacking(first, subsets, other, np.concatenate(rows[other.path]))
    keep = [np.ones(len(part.rows), bool) for part in (subsets.val, subsets.test)]
    for other in others:
        keep = [one & (found >= 0) & (other.status[found] == DONE)
                for one, found in zip(keep, rows[other.path], strict=True)]  # fmt: skip
    for name, one in zip(("validation", "test"), keep, strict=True):
        if one.sum() < 2:
            raise CollectionError(f"{first.path}: expected at least 2 {name} images that all collections have features "
                                  f"of, found {one.sum()} of {len(one)}")  # fmt: skip
    val, test = (_kept(part, one) for part, one in zip((subsets.val, subsets.test), keep, strict=True))
    return Seen(replace(subsets, val=val, test=test), {
        path: replace(subsets, val=replace(val, rows=of_val[keep[0]]), test=replace(test, rows=of_test[keep[1]]))
        for path, (of_val, of_test) in rows.items()
    })  # fmt: skip


def rows_in(first: Collection, rows: np.ndarray, other: Collection) -> np.ndarray:
    """Find images of `first`, `rows` (n,), in another collection: their rows there, (n,) int64, -1 where none is.

    A name may be spelt in another form of Unicode there.
    """
    names = [first.ids[row] for row in rows]
    own, row_of = own_names(names, other.ids), {id_: row for row, id_ in enumerate(other.ids)}
    return np.array([row_of.get(own.get(name, name), -1) for name in names], np.int64)


def _refuse_lacking(first: Collection, subsets: Subsets, other: Collection, found: np.ndarray) -> None:
    rows = np.concatenate([subsets.val.rows, subsets.test.rows])
    lacking = rows[found < 0]
    if len(lacking):
        raise CollectionError(f"--features {other.path}: expected the {len(rows)} validation and test images of "
                              f"{first.path}, found {len(lacking)} missing, such as {first.ids[lacking[0]]}; extract "
                              "them, or leave them out with --allow-missing")  # fmt: skip
    refuse_missing(other, found)


def _kept(part: Subset, keep: np.ndarray) -> Subset:
    return Subset(part.rows[keep], part.scores[keep], part.left_out + int((~keep).sum()))


def together(readers: Sequence[Reader], seen: Seen) -> Evaluated:
    """Compute the mean of all heads' scores, each over its views, validation and test images alike. Raises SpecError,
    CollectionError.
    """
    groups: dict[Path, list[Reader]] = {}
    for one in readers:
        groups.setdefault(one.collection.path, []).append(one)
    parts = [(len(some), said(some, seen)) for some in groups.values()]
    if len(parts) == 1:
        return parts[0][1]
    val, test = (sum(count * getattr(part, name) for count, part in parts) / len(readers) for name in ("val", "test"))
    return Evaluated(val, test)


def said(readers: Sequence[Reader], seen: Seen) -> Evaluated:
    """Compute what heads that read one collection say together. Raises SpecError, CollectionError."""
    collection = readers[0].collection
    return by_heads([one.head for one in readers], collection, seen.of(collection), readers[0].views)


def refuse_seen_by(readers: Sequence[Reader], first: Collection, seen: Seen) -> None:
    """Raise RunError if a head was trained on test images, by their files in the first collection or in its own."""
    for one in readers:
        for collection in {path.path: path for path in (first, one.collection)}.values():
            refuse_seen([one.run], [one.head], collection, seen.of(collection))


def have_seen_by_files(readers: Sequence[Reader], first: Collection, seen: Seen) -> bool:
    """Tell whether a head that reads another collection than the first, whose lists may be others, was trained on files
    of validation images.
    """
    return any(
        count_seen(one.head, collection, seen.of(collection).val.rows)
        for one in readers if one.collection.path != first.path
        for collection in (first, one.collection)
    )  # fmt: skip
