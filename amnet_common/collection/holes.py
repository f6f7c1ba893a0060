"""Bytes of a file taken out of it: overwritten by zeros, and given back to the disk."""

import ctypes
import os
from collections.abc import Sequence

import numpy as np

from amnet_common.collection.layout import Extent

KEEP_SIZE, PUNCH_HOLE = 1, 2  # of fallocate, Linux
CHUNK = 2**22


def overwrite(file: int, extent: Extent, rows: Sequence[int] | np.ndarray) -> None:
    """Write zeros over the entries `rows` of a dataset of an open file. Raises OSError."""
    zeros = bytes(min(CHUNK, extent.row_bytes))
    for row in rows:
        start, end = extent.at(int(row)), extent.at(int(row) + 1)
        while start < end:
            start += os.pwrite(file, zeros[: end - start], start)


def make_holes(file: int, extent: Extent, rows: Sequence[int] | np.ndarray) -> None:
    """Give the disk the room of entries that hold zeros, where the file system can; what cannot be given stays."""
    for row in rows:
        if not punch(file, extent.at(int(row)), extent.row_bytes):
            return


def punch(file: int, start: int, length: int) -> bool:
    """Give the disk the room of bytes of an open file, which are zeros then; tell whether the file system can."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        return False
    return bool(fallocate(file, PUNCH_HOLE | KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length)) == 0)
