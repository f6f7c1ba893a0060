"""The integrity hash: one SHA-256 over every byte of a collection that must never change after it is published.

HDF5's own checksums leave gaps (free space, the heap of the virtual dataset); with the integrity hash there are none.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from amnet_common.collection.layout import Extent, Structure

CHUNK = 2**20


def integrity_sha256(path: Path, structure: Structure) -> bytes:
    """Compute the SHA-256, 32 bytes, of a collection's file without the tables that change (`structure.changing`)."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        for start, end in fixed_ranges(structure.changing, size):
            file.seek(start)
            for at in range(start, end, CHUNK):
                digest.update(file.read(min(CHUNK, end - at)))
    return digest.digest()


def fixed_ranges(changing: Sequence[Extent], size: int) -> Iterator[tuple[int, int]]:
    """Yield the byte ranges (start, end) of a file of `size` bytes that lie in none of the extents."""
    start = 0
    for extent in sorted(changing, key=lambda extent: extent.offset):
        if extent.offset > start:
            yield start, extent.offset
        start = max(start, extent.end)
    if size > start:
        yield start, size
