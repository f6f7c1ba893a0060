"""Filling the rows of a collection. Order for each row: features, checksums, sync (grouped), mark.

A row counts as done only once its mark is written, and its mark only after its bytes are on the disk;
a kill between leaves a row pending.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amnet_common.collection.holes import make_holes, overwrite
from amnet_common.collection.layout import DONE, FAILED, PENDING, Extent
from amnet_common.collection.marks import damaged_rows, error_bytes, kernel_checksum, row_checksum, view_checksum
from amnet_common.collection.part import Part
from amnet_common.collection.raw import file_identity, read_table_from
from amnet_common.errors import BusyError, OutputError
from amnet_common.locks import lock_range

SYNC_ROWS = 64  # marks wait for at most so many rows: 280 MB at eleven float16 views,
SYNC_SECONDS = 10.0  # and about so long: what a kill can cost


@dataclass(frozen=True)
class ImageFacts:
    """Hold what the mark records of an image file: to notice a changed file, and to map views back to pixels."""

    sha256: bytes = bytes(32)
    size: int = 0  # bytes
    mtime_ns: int = 0
    width: int = 0  # pixels
    height: int = 0


class Tables(NamedTuple):
    """Hold the tables of N rows, V views: records, (N, V) checksums, (N, V, 5) boxes."""

    images: np.ndarray
    checksums: np.ndarray
    boxes: np.ndarray


def nearest_mtime(mtime_ns: int) -> int:
    """Return the time that a row can hold, int64 nanoseconds since 1970 (years 1677 to 2262), nearest to a file's.

    A file beyond them never has the time that its row remembers, so that its hash is compared instead.
    """
    limits = np.iinfo(np.int64)
    return min(max(mtime_ns, int(limits.min)), int(limits.max))


class RowWriter:
    """Write rows `first` to `last` (exclusive; None: to the end) of the collection at `path`.

    `kernel_path`: on which the features are computed; None: that of the file.
    Use as a context manager, which syncs on leaving. As long as it is open no other writer may have any of these rows.
    Raises BusyError if one has, OutputError when the disk does not take what is written.
    """

    def __init__(
        self, path: Path, first: int = 0, last: int | None = None, kernel_path: Mapping[str, Any] | None = None
    ) -> None:
        part = Part(path)
        self.path, self._planes, self._marks = path, part.planes, part.structure.images
        self.uuid = part.structure.uuid
        self._kernels = kernel_checksum(part.planes.kernel_path if kernel_path is None else kernel_path)
        self._unmarked: list[int] = []
        self._synced = time.monotonic()
        self._broken = False  # after an error of the disk nothing is marked: the system reports such an error only once
        with self._disk_errors():
            self._file = part.open(os.O_RDWR)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._file)
            self._lock(first, len(part.status) if last is None else last)
            # the marks as they are now that nobody else writes them
            places = (self._marks, self._planes.checksums, self._planes.views)
            self._images, self._checksums, self._boxes = (read_table_from(self._file, one, path) for one in places)
            undo.pop_all()
        self._status = self._images["status"].copy()
        self._status[damaged_rows(self._images, self._checksums, self._boxes)] = PENDING

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.sync()
        finally:
            os.close(self._file)

    def _lock(self, first: int, last: int) -> None:
        start, end = self._marks.at(first), self._marks.at(last)
        if start < end and not lock_range(self._file, start, end - start):  # no bytes would mean all up to the end
            raise BusyError(f"{self.path}: expected rows {first} to {last - 1} for this process alone, found another "
                            "writing there; wait, or give each process rows of its own with --shard I/N")  # fmt: skip

    def status(self, rows: np.ndarray) -> np.ndarray:
        """Return the status of rows as it was when this writer began; one whose mark does not hold is pending."""
        return self._status[rows]

    def tables(self) -> Tables:
        """Return the tables of the rows as they are here."""
        return Tables(self._images, self._checksums, self._boxes)

    def is_done(self, row: int) -> bool:
        """Tell whether `row` was done when this writer began."""
        return bool(self._status[row] == DONE)

    def write_view(self, row: int, view: int, features: np.ndarray) -> None:
        """Store one view, (h, w, D) in the stored dtype, and note its checksum."""
        extent = self._planes.features
        assert features.shape == extent.shape[2:], features.shape
        assert features.dtype == extent.dtype, features.dtype
        features = np.ascontiguousarray(features)
        self._checksums[row, view] = view_checksum(features)
        view_bytes = extent.row_bytes // extent.shape[1]
        self._write(features, extent.at(row) + view * view_bytes)

    def finish(self, row: int, facts: ImageFacts, boxes: np.ndarray, clipped: int = 0) -> None:
        """Mark `row`, of which all views are written, done at the next sync.

        `boxes`: (V, 5). `clipped`: how many values of its views were above their channel's range.
        """
        self._boxes[row] = boxes
        self._close_row(row, facts, DONE, b"", clipped)

    def fail(self, row: int, facts: ImageFacts, reason: str) -> None:
        """Mark `row` failed, with its reason, at the next sync."""
        self._checksums[row], self._boxes[row] = 0, 0
        self._close_row(row, facts, FAILED, error_bytes(reason))

    def undo(self, rows: Sequence[int] | np.ndarray) -> None:
        """Mark `rows` pending, on the disk, before anything of them is written again."""
        for row in rows:
            image = self._images[row : row + 1]
            id_ = image["id"].copy()
            image[:] = np.zeros(1, image.dtype)
            image["id"], image["status"] = id_, PENDING
            self._write_entry(self._marks, row, self._images)
        self._fsync()

    def erase(self, rows: Sequence[int] | np.ndarray) -> None:
        """Overwrite everything but the ids of `rows`, which `undo` has marked pending, with zeros, on the disk."""
        self._refuse_replaced()
        with self._disk_errors():
            for extent in (self._planes.checksums, self._planes.views, self._planes.features):
                overwrite(self._file, extent, rows)
            os.fsync(self._file)
            make_holes(self._file, self._planes.features, rows)
            os.fsync(self._file)

    def _close_row(self, row: int, facts: ImageFacts, status: int, error: bytes, clipped: int = 0) -> None:
        image = self._images[row : row + 1]
        image["sha256"] = np.frombuffer(facts.sha256, np.uint8)
        image["size"], image["mtime_ns"] = facts.size, nearest_mtime(facts.mtime_ns)
        image["width"], image["height"] = facts.width, facts.height
        image["clipped"], image["status"], image["error"] = clipped, status, error
        image["kernels"] = self._kernels if status == DONE else 0
        self._mark_later(row)

    def adopt(self, row: int, image: np.void, features: np.ndarray, boxes: np.ndarray) -> None:
        """Take a row over from another collection of the same spec at the next sync, done or failed as it is there.

        `image`: its record, whose id counts for nothing; `features` (V, h, w, D) as stored, (0, ...) of a failed row;
        `boxes` (V, 5).
        """
        self._checksums[row], self._boxes[row] = 0, boxes
        for view, plane in enumerate(features):
            self.write_view(row, view, plane)
        record = self._images[row : row + 1]
        for name in record.dtype.names or ():
            if name != "id":
                record[name] = image[name]
        self._mark_later(row)

    def _mark_later(self, row: int) -> None:
        image = self._images[row : row + 1]
        image["crc32c"] = row_checksum(image[0], self._checksums[row], self._boxes[row])
        self._unmarked.append(row)
        if len(self._unmarked) >= SYNC_ROWS or time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring everything finished so far to the disk, then mark it."""
        if self._broken or not self._unmarked:
            return
        self._refuse_replaced()
        for row in self._unmarked:
            self._write_entry(self._planes.checksums, row, self._checksums)
            self._write_entry(self._planes.views, row, self._boxes)
        self._fsync()
        for row in self._unmarked:
            self._write_entry(self._marks, row, self._images)
        self._fsync()
        self._unmarked.clear()
        self._synced = time.monotonic()

    def _refuse_replaced(self) -> None:
        """OutputError if the name stands for another file by now, or for none: nobody would ever find the rows."""
        with contextlib.suppress(OSError):
            if file_identity(os.stat(self.path)) == file_identity(os.fstat(self._file)):
                return
        self._broken = True
        raise OutputError(f"--out {self.path}: expected the file that is being filled, found it replaced or removed "
                          "meanwhile; run the command again")  # fmt: skip

    def _write_entry(self, extent: Extent, row: int, table: np.ndarray) -> None:
        self._write(table[row : row + 1], extent.at(row))

    def _write(self, values: np.ndarray, offset: int) -> None:
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        with self._disk_errors():
            while data:
                count = os.pwrite(self._file, data, offset)
                data, offset = data[count:], offset + count

    def _fsync(self) -> None:
        with self._disk_errors():
            os.fsync(self._file)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._broken = True
            raise OutputError(f"--out {self.path}: cannot be written: {error.strerror}; what is finished is kept: "
                              "make room, then run the same command again") from error  # fmt: skip
