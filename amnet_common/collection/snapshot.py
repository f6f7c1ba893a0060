"""The marks of one file as they were at one time: read and checked in one pass, and kept without what repeats.

Of a row of /images 69 bytes stay in memory, and its view checksums. Ids and boxes are read again when they are asked
for: ids never change, and whether boxes are still those of the mark is told by its checksum.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amnet_common.collection.layout import ERROR_BYTES, FAILED, PENDING, Extent, Planes
from amnet_common.collection.marks import CRC_BYTES, damaged_rows, row_checksums
from amnet_common.collection.part_file import PartFile, blocks
from amnet_common.collection.raw import read_rows
from amnet_common.collection.row_tables import Records, RowTable
from amnet_common.errors import CollectionError

ELSEWHERE = ("id", "error")  # fields that are not kept as columns
ERROR_END = ERROR_BYTES + CRC_BYTES  # the last bytes of a record, from its error on


class Snapshot(NamedTuple):
    """Hold what marks said; N rows, V views."""

    images: Records  # (N,)
    status: np.ndarray  # (N,) uint8; rows with a damaged mark count as pending
    damaged: np.ndarray  # row numbers
    checksums: np.ndarray  # (N, V) uint32
    boxes: RowTable  # (N, V, 5): top, left, height, width, flip


def read_snapshot(file: PartFile, planes: Planes, take_ids: Callable[[np.ndarray], object]) -> Snapshot:
    """Read and check the marks of a file; `take_ids` gets the ids, some at a time, in the order of rows."""
    opened = file.open()
    try:
        return _read(opened, file, planes, take_ids)
    finally:
        os.close(opened)


def _read(opened: int, file: PartFile, planes: Planes, take_ids: Callable[[np.ndarray], object]) -> Snapshot:
    extent, path = file.structure.images, file.path
    count, names = extent.shape[0], extent.dtype.names or ()
    columns = {
        name: np.empty((count, *extent.dtype[name].shape), extent.dtype[name].base)
        for name in names
        if name not in ELSEWHERE
    }
    checksums, errors = np.empty(planes.checksums.shape, planes.checksums.dtype), dict[int, bytes]()
    damaged = [np.empty(0, np.int64)]
    for rows in blocks(count, extent, planes.views, planes.checksums):
        at = slice(rows.start, rows.stop)
        images = read_rows(opened, extent, rows, path)  # before what it marks, as the writer writes it last
        boxes, checksums[at] = (read_rows(opened, one, rows, path) for one in (planes.views, planes.checksums))
        take_ids(images["id"])
        for name, column in columns.items():
            column[at] = images[name]
        bad = damaged_rows(images, checksums[at], boxes)
        damaged.append(bad + rows.start)
        errors |= _errors(images, bad, rows.start)
    wrong = np.concatenate(damaged)
    status = columns["status"].copy()
    status[wrong] = PENDING
    records = Records(extent.dtype, count, columns, errors, file.ids)
    return Snapshot(records, status, wrong, checksums, Boxes(file, planes.views, records, status, checksums))


def _errors(images: np.ndarray, damaged: np.ndarray, start: int) -> dict[int, bytes]:
    """The texts of rows that failed, by row; of a damaged row whatever stands there."""
    first = np.ndarray(len(images), "u1", images, images.dtype.itemsize - ERROR_END, images.strides)  # byte of each
    said = np.flatnonzero((first != 0) | (images["status"] == FAILED))
    rows = np.union1d(said, damaged) if len(damaged) else said
    return {start + row: bytes(images["error"][row]) for row in rows.tolist()}


class Boxes(RowTable):
    """Read boxes of rows, (n, V, 5), which must be those of the marks that are known."""

    def __init__(
        self, file: PartFile, extent: Extent, images: Records, status: np.ndarray, checksums: np.ndarray
    ) -> None:
        self._file, self._extent = file, extent
        self._images, self._status, self._checksums = images, status, checksums
        self.shape, self.dtype = extent.shape, extent.dtype

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Read rows. Raises CollectionError if one was filled anew since its mark was read."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        opened = self._file.open()
        try:
            for some in blocks(len(rows), self._extent, self._file.structure.images):
                at = slice(some.start, some.stop)
                found[at] = _scattered(opened, self._extent, rows[at], self._file.path)
                self._refuse_changed(rows[at], found[at])
        finally:
            os.close(opened)
        return found

    def _refuse_changed(self, rows: np.ndarray, boxes: np.ndarray) -> None:
        marked = self._status[rows] != PENDING
        those = rows[marked]
        computed = row_checksums(self._images.rows(those), self._checksums[those], boxes[marked])
        unlike = those[computed != self._images["crc32c"][those]]
        if len(unlike):
            raise CollectionError(f"{self._file.path}: row {unlike[0]}: expected its views as they were when the file "
                                  "was opened, found others: it was filled anew meanwhile; open it again")  # fmt: skip


def _scattered(file: int, extent: Extent, rows: np.ndarray, path: Path) -> np.ndarray:
    """Rows in any order; those that follow one another are read together."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    runs = np.split(rows, ends) if len(rows) else []
    read = [read_rows(file, extent, range(int(run[0]), int(run[-1]) + 1), path) for run in runs]
    return np.concatenate(read) if read else np.empty((0, *extent.shape[1:]), extent.dtype)
