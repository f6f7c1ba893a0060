"""Checksums of many rows of one length compared at once: one CRC-32C over all of them against those of each.

The CRC-32C of two texts one after the other follows from the CRC-32C of each and the length of the second: that of the
first is multiplied by a matrix of 32 x 32 bits, and that of the second added, without carry. So it follows for many.
"""

from functools import lru_cache

import crc32c
import numpy as np

BITS, BYTES = 32, 4


def all_hold(rows: np.ndarray, stored: np.ndarray) -> bool:
    """Tell whether `stored` (n,) uint32 are the CRC-32C of `rows` (n, bytes) uint8, at the speed of the memory.

    False if one is wrong; if several are, True with a probability of 2^-32.
    """
    whole = int(crc32c.crc32c(np.ascontiguousarray(rows).reshape(-1).data))
    return whole == joined(stored, rows.shape[1])


def joined(checksums: np.ndarray, length: int) -> int:
    """Compute the CRC-32C of n texts of so many bytes, one after the other, from that of each, (n,) uint32."""
    if not len(checksums):
        return 0
    found, level = np.asarray(checksums, "<u4"), 0
    while len(found) > 1:
        if len(found) % 2:
            found = np.concatenate([np.zeros(1, "<u4"), found])  # as if an empty text stood before: its checksum is 0
        found = _times(_tables(length, level), found[0::2]) ^ found[1::2]
        level += 1
    return int(found[0])


@lru_cache(maxsize=256)
def _tables(length: int, level: int) -> np.ndarray:
    """What a checksum becomes when 2^level times `length` bytes follow: (4, 256) uint32, for each byte of it."""
    if level:
        half = _tables(length, level - 1)
        single = np.left_shift(np.uint32(1), np.arange(BITS, dtype=np.uint32)).astype("<u4")
        columns = _times(half, _times(half, single)).tolist()
    else:
        zeros = bytes(length)
        none = crc32c.crc32c(zeros)
        columns = [crc32c.crc32c(zeros, 1 << bit) ^ none for bit in range(BITS)]
    tables = np.zeros((BYTES, 256), "<u4")
    for bit, column in enumerate(columns):
        those = (np.arange(256) >> (bit % 8)) & 1 == 1
        tables[bit // 8, those] ^= np.uint32(column)
    return tables


def _times(tables: np.ndarray, checksums: np.ndarray) -> np.ndarray:
    each = np.ascontiguousarray(checksums).view(np.uint8).reshape(-1, BYTES)  # the lowest first
    found = tables[0].take(each[:, 0])
    for byte in range(1, BYTES):
        found ^= tables[byte].take(each[:, byte])
    return found
