"""Bytes of a collection in and out, at offsets: `preadv` into buffers, and nothing else between disk and array."""

import os
from pathlib import Path

import numpy as np

from amnet_common.collection.layout import Extent
from amnet_common.errors import CollectionError


def read_exactly(file: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill `buffer` from `offset` on. Raises CollectionError, which names `path`, where the file ends before."""
    while len(buffer):
        count = os.preadv(file, [buffer], offset)
        if count == 0:
            raise CollectionError(f"{path}: expected {len(buffer)} more bytes at {offset}, found the end of the file")
        buffer, offset = buffer[count:], offset + count


def file_identity(found: os.stat_result) -> tuple[int, int]:
    """Device and inode: another file of the same name has another."""
    return found.st_dev, found.st_ino


def read_table(path: Path, extent: Extent) -> np.ndarray:
    """A whole dataset, of the extent's shape and dtype."""
    with open(path, "rb", buffering=0) as file:
        return read_table_from(file.fileno(), extent, path)


def read_table_from(file: int, extent: Extent, path: Path) -> np.ndarray:
    """`read_table` of an open file; `path` is for errors."""
    values = np.empty(extent.shape, extent.dtype)
    if values.size:
        read_exactly(file, values.reshape(-1).view(np.uint8).data, extent.offset, path)
    return values
