"""Bytes of a collection in and out, at offsets: `preadv` into buffers, and nothing else between disk and array."""

import os
from pathlib import Path

import numpy as np

from amnet_common.collection.layout import Extent
from amnet_common.errors import CollectionError


def read_exactly(file: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill `buffer` with the bytes of an open file from `offset` on.

    Raises CollectionError, which names `path`, where the file ends before.
    """
    while len(buffer):
        count = os.preadv(file, [buffer], offset)
        if count == 0:
            raise CollectionError(f"{path}: expected {len(buffer)} more bytes at {offset}, found the end of the file")
        buffer, offset = buffer[count:], offset + count


def file_identity(found: os.stat_result) -> tuple[int, int]:
    """Return the device and inode of a file: another file of the same name has others."""
    return found.st_dev, found.st_ino


def read_table(path: Path, extent: Extent) -> np.ndarray:
    """Read a whole dataset of the file at `path`, of the extent's shape and dtype."""
    with open(path, "rb", buffering=0) as file:
        return read_table_from(file.fileno(), extent, path)


def read_table_from(file: int, extent: Extent, path: Path) -> np.ndarray:
    """Read a whole dataset, as `read_table` does, of an open file; `path` is for errors."""
    return read_rows(file, extent, range(extent.shape[0]), path)


def read_rows(file: int, extent: Extent, rows: range, path: Path) -> np.ndarray:
    """Read rows of a dataset that follow one another, of an open file; `path` is for errors."""
    values = np.empty((len(rows), *extent.shape[1:]), extent.dtype)
    if values.size:
        read_exactly(file, values.reshape(-1).view(np.uint8).data, extent.at(rows.start), path)
    return values
