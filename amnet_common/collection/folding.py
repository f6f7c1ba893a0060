"""A collection's images in folds: files that are the same by content count as one, and stand in one part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.reader import Collection
from amnet_common.datasets.any_table import read_table
from amnet_common.datasets.columns import Columns, choose, column_called
from amnet_common.datasets.folds import Folding, fold_lists, united
from amnet_common.datasets.image_names import CollectionNames
from amnet_common.datasets.named_rows import named_rows
from amnet_common.datasets.records import SplitList
from amnet_common.datasets.spelling import own_names
from amnet_common.datasets.wide import long_form
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

FOLDING = "folding"  # in a collection's provenance, and in what a run says of itself


def folds_of(
    collection: Collection, scores: np.ndarray, folding: Folding, groups: Mapping[str, str] | None = None,
    twins: Sequence[tuple[int, int]] = (),
) -> dict[str, SplitList]:  # fmt: skip
    """Return the lists of a collection's folds, by `scores` (N,), NaN for none.

    `groups`: what an image belongs to, by id (a participant, a scene); an image without stands for itself. `twins`:
    pairs of rows that stay together as well. Raises DatasetError for too few images.
    """
    named = [(groups or {}).get(id_) or None for id_ in collection.ids]
    together = united(_contents(collection), named, _joined(twins, len(collection)))
    return fold_lists(collection.ids, scores, together, folding, str(collection.path))


def folded(collection: Collection, folding: Folding) -> Collection:
    """Return a collection, opened anew, as if its lists were the folds of its own scores; its provenance tells."""
    view = collection.reopened()
    view.splits = folds_of(view, view.labels, folding)
    view.provenance = {**view.provenance, FOLDING: folding.as_dict()}
    return view


def with_lists_of(collection: Collection, folding: Folding | None) -> Collection:
    """Return a collection; one without lists as if its lists were the folds that a run was made with, if it was."""
    return folded(collection, folding) if folding and not collection.splits else collection


def recorded_folding(found: Mapping[str, Any]) -> Folding | None:
    """Return how lists were dealt, as a provenance or a run says; None where it does not, or says what cannot be."""
    try:
        return Folding.from_dict(found[FOLDING]) if FOLDING in found else None
    except (AttributeError, TypeError, ValueError):
        return None


def read_groups(path: Path, columns: Columns, column: str, collection: Collection) -> dict[str, str]:
    """Read what each image of a label table belongs to, by its id in the collection; empty cells tell nothing.

    Raises DatasetError, with file and line, also for an image with two entries.
    """
    table = read_table(path, "--labels")
    if columns.raters:
        table = long_form(table, columns.raters)
    known = CollectionNames(collection.ids, f"of {collection.path}")
    chosen = choose(table, columns, known)
    texts = table.texts(column_called(table, f"--group {column}", column))
    named = named_rows(table, chosen.id, known, range(len(texts)), table.problems)
    own = own_names([*named.ids], collection.ids)
    found: dict[str, str] = {}
    for row, (id_, text) in enumerate(zip(named.ids, map(str.strip, texts), strict=True)):
        if text and found.setdefault(own.get(id_, id_), text) != text:  # as where several people rated an image
            raise DatasetError(f"{table.where(row)}: expected one {column} for {shortened(id_)}, found "
                               f"{shortened(text)} beside {shortened(found[own.get(id_, id_)])}")  # fmt: skip
    if not found:
        raise DatasetError(f"--group {column}: expected a group for some images of {path}, found none")
    return found


def _joined(pairs: Sequence[tuple[int, int]], rows: int) -> list[int]:
    """A number for each row, the same for rows that pairs join, whether directly or by way of others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(pairs, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(rows, rows))
    return connected_components(graph, directed=False)[1].tolist()


def _contents(collection: Collection) -> Sequence[bytes | None]:
    """The hash of each image's file; None where it is not known."""
    hashes = (image.tobytes() for image in collection.images["sha256"])
    return [digest if any(digest) else None for digest in hashes]
