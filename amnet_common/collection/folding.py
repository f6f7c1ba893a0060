"""A collection's images in folds: files that are the same by content count as one, and stand in one part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.reader import Collection
from amnet_common.datasets.any_table import read_table
from amnet_common.datasets.columns import Columns, choose
from amnet_common.datasets.folds import Folding, fold_lists, united
from amnet_common.datasets.image_names import CollectionNames
from amnet_common.datasets.named_rows import named_rows
from amnet_common.datasets.records import SplitList
from amnet_common.datasets.spelling import own_names
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

FOLDING = "folding"  # in a collection's provenance, and in what a run says of itself


def folds_of(
    collection: Collection, scores: np.ndarray, folding: Folding, groups: Mapping[str, str] | None = None
) -> dict[str, SplitList]:
    """Return the lists of a collection's folds, by `scores` (N,), NaN for none.

    `groups`: what an image belongs to, by id (a participant, a scene); an image without stands for itself. Raises
    DatasetError for too few images.
    """
    named = [(groups or {}).get(id_) or None for id_ in collection.ids]
    return fold_lists(collection.ids, scores, united(_contents(collection), named), folding, str(collection.path))


def folded(collection: Collection, folding: Folding) -> Collection:
    """Return a collection, opened anew, as if its lists were the folds of its own scores; its provenance tells."""
    view = Collection(collection.path, collection.threads)
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


def read_groups(path: Path, group: str, columns: Columns, collection: Collection) -> dict[str, str]:
    """Read what each image of a label table belongs to, by its id in the collection; empty cells tell nothing.

    Raises DatasetError for a column that is not there, without any entry, or with two entries for an image.
    """
    table, known = read_table(path, "--labels"), CollectionNames(collection.ids, f"of {collection.path}")
    chosen = choose(table, columns, known)
    places = [place for place, name in enumerate(table.names) if name.lower() == group.strip().lower()]
    if len(places) != 1:
        raise DatasetError(f"{path}:{table.header_line}: --group: expected the name of a column, found "
                           f"{shortened(group)}")  # fmt: skip
    rows = [row for row, text in enumerate(table.texts(places[0])) if text.strip()]
    if not rows:
        raise DatasetError(f"--group {group}: expected a group for some images of {path}, found none")
    texts, found = table.texts(places[0]), dict[str, str]()
    for row, id_ in zip(rows, named_rows(table, chosen.id, known, rows, table.problems).ids, strict=True):
        if found.setdefault(id_, texts[row].strip()) != texts[row].strip():
            raise DatasetError(f"{table.where(row)}: expected one {group} for {id_!r}, found another before")
    own = own_names([*found], collection.ids)
    return {own.get(id_, id_): entry for id_, entry in found.items()}


def _contents(collection: Collection) -> Sequence[bytes | None]:
    """The hash of each image's file; None where it is not known."""
    hashes = (image.tobytes() for image in collection.images["sha256"])
    return [digest if any(digest) else None for digest in hashes]
