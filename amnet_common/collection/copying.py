"""Rows of a collection copied into another file, byte for byte, and compared with their checksums on the way."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.layout import DONE, PENDING
from amnet_common.collection.part import Part
from amnet_common.collection.reader import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.verify import integrity_holds, verify_rows
from amnet_common.collection.writer import RowWriter
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError

AT_ONCE = 2**26  # bytes of features that are read together


def prepare(stage: Path, collection: Collection, dataset: Dataset, provenance: Mapping[str, Any]) -> None:
    """Make the file that rows are copied to, or leave the one that a killed command has begun for the very same.

    `dataset`: images of the file; `provenance` tells by all it says whether it is the same. Raises OutputError.
    """
    if stage.exists() and _is_begun(stage, dataset, provenance):
        return
    first = collection.parts[0].planes
    create_skeleton(stage, dataset, collection.views, collection.spec, first.kernel_path, provenance,
                    collection.scales, replace=True)  # fmt: skip


def _is_begun(stage: Path, dataset: Dataset, provenance: Mapping[str, Any]) -> bool:
    try:
        begun = Collection(stage)
    except CollectionError:
        return False
    said = {name: begun.provenance.get(name) for name in provenance if name != "made"}
    wanted = {name: value for name, value in provenance.items() if name != "made"}
    return said == wanted and begun.ids == dataset.ids


def copy_rows(collection: Collection, rows: Sequence[int] | np.ndarray, stage: Path) -> Iterator[int]:
    """Copy row `rows[i]` to row i of `stage`; yield how many are finished, some at a time.

    Rows that are pending stay so; those that are there already, the same, are left. At the end all of them are as they
    are in the collection, also where another process has filled rows meanwhile. Raises CollectionError for features
    that do not match their checksum, OutputError.
    """
    rows = np.asarray(rows, np.int64)
    while True:
        with RowWriter(stage) as writer:
            left = unlike(collection, rows, writer)
            writer.undo(left[writer.status(left) != PENDING])
            left = left[collection.status[rows[left]] != PENDING]
            for some in _bunches(left, collection):
                _copy(collection, rows, some, writer)
                yield len(some)
        collection.refresh()
        with RowWriter(stage) as writer:
            if not len(unlike(collection, rows, writer)):
                return


def unlike(collection: Collection, rows: np.ndarray, writer: RowWriter) -> np.ndarray:
    """Return the rows of a file that are not as rows `rows` (n,) of a collection."""
    mine = writer.tables()
    unlike = [mine.images[name] != collection.images[name][rows] for name in ("status", "kernels", "sha256")]
    same = ~(unlike[0] | unlike[1] | unlike[2].any(1))
    same &= (mine.checksums == collection.checksums[rows]).all(1)
    pending = collection.status[rows] == PENDING
    return np.flatnonzero(np.where(pending, mine.images["status"] != PENDING, ~same))


def _bunches(rows: np.ndarray, collection: Collection) -> Iterator[np.ndarray]:
    count = max(1, AT_ONCE // (collection.view_bytes * collection.views))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _copy(collection: Collection, rows: np.ndarray, some: np.ndarray, writer: RowWriter) -> None:
    views, done = collection.views, collection.status[rows[some]] == DONE
    finished = rows[some[done]]
    read = collection.read(np.repeat(finished, views), np.tile(np.arange(views), len(finished)), check=True)
    features = iter(read.reshape(-1, views, *collection.view_shape))  # (n, V, h, w, D)
    for row, is_done in zip(some.tolist(), done.tolist(), strict=True):
        there = int(rows[row])
        writer.adopt(row, collection.images[there], next(features) if is_done else read[:0], collection.boxes[there])


def refuse_damaged(stage: Path) -> Iterator[int]:
    """Check every byte of a file that was written; yield 1 for each row. Raises CollectionError."""
    part = Part(stage)
    if not integrity_holds(stage, part.structure):
        raise CollectionError(f"{stage}: expected the bytes that were written, found others; is the disk damaged? What "
                              "was there before stays")  # fmt: skip
    for row in verify_rows(part):
        if row.problems:
            raise CollectionError(f"{stage}: expected the bytes that were written, found others: "
                                  f"{row.problems[0].text}; what was there before stays")  # fmt: skip
        yield 1
