"""One physical file with features, opened for reading again and again: it must be the very same each time."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from amnet_common.collection.layout import Extent, Structure
from amnet_common.collection.raw import read_rows
from amnet_common.errors import BegunAnewError

BLOCK = 2**22  # bytes of records that are read together


class PartFile:
    """Hold the path and the structure of a file."""

    def __init__(self, path: Path, structure: Structure) -> None:
        self.path, self.structure = path, structure

    def open(self, flags: int = os.O_RDONLY) -> int:
        """Open the very file whose structure is known here, told apart by its integrity hash; return its descriptor.

        Raises BegunAnewError if the file is gone or replaced.
        """
        try:
            file = os.open(self.path, flags)
        except FileNotFoundError as error:
            raise BegunAnewError(f"{self.path}: expected the file that was opened, found it gone") from error
        integrity = self.structure.integrity
        if os.pread(file, integrity.end - integrity.offset, integrity.offset) == self.structure.stored_integrity:
            return file
        os.close(file)
        raise BegunAnewError(f"{self.path}: expected the file that was opened, found another of its name: it was "
                             "replaced meanwhile; open it again")  # fmt: skip

    def ids(self) -> np.ndarray:
        """Read the ids as the bytes that are stored, (N,); they never change."""
        extent = self.structure.images
        found = np.empty(extent.shape, extent.dtype["id"])
        file = self.open()
        try:
            for rows in blocks(extent.shape[0], extent):
                found[rows.start : rows.stop] = read_rows(file, extent, rows, self.path)["id"]
        finally:
            os.close(file)
        return found


def blocks(count: int, *extents: Extent) -> Iterator[range]:
    """Yield rows 0..count-1, so many at a time as take BLOCK bytes in all of these tables."""
    step = max(1, BLOCK // max(1, sum(extent.row_bytes for extent in extents)))
    for start in range(0, count, step):
        yield range(start, min(start + step, count))
