"""The mark of a row: done, failed or pending, and the checksum that makes a torn or flipped row show."""

from collections.abc import Iterator, Mapping
from typing import Any

import crc32c
import numpy as np

from amnet_common.collection.layout import DONE, ERROR_BYTES, FAILED, PENDING
from amnet_common.collection.row_checksums import all_hold
from amnet_common.collection.spec import canonical_json

CRC_BYTES = 4  # the last field of a record, which the checksum leaves out
CHUNK = 2**14  # rows copied together at a time


def row_checksum(image: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> int:
    """Compute the CRC-32C over a row's record without its last field, its view checksums (V,) and its boxes (V, 5)."""
    record = image.tobytes()[:-CRC_BYTES]
    return int(crc32c.crc32c(boxes.tobytes(), crc32c.crc32c(checksums.tobytes(), crc32c.crc32c(record))))


def row_checksums(images: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute `row_checksum` of each of n rows, (n,) uint32, many times faster than one by one."""
    found = np.empty(len(images), np.uint32)
    for part in _chunks(len(images)):
        found[part] = [crc32c.crc32c(row) for row in _covered(images[part], checksums[part], boxes[part])]
    return found


def damaged_rows(images: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows whose mark does not hold, in order.

    Such a mark is no known status, or does not match its checksum, or says pending in a row with more than its id.
    """
    found = [np.empty(0, np.int64)]
    found += [part.start + _damaged(images[part], checksums[part], boxes[part]) for part in _chunks(len(images))]
    return np.concatenate(found)


def _damaged(images: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    status = images["status"]
    pending = status == PENDING
    wrong = ~(pending | (status == DONE) | (status == FAILED))
    if pending.any():
        id_bytes = images.dtype["id"].itemsize
        here = np.flatnonzero(pending)
        stray = _bytes_by_row(images[here])[:, id_bytes:].any(axis=1)  # a pending row says nothing but its id
        wrong[here[stray]] = True
    marked = slice(None) if not pending.any() else np.flatnonzero(~pending)
    covered, stored = _covered(images[marked], checksums[marked], boxes[marked]), images["crc32c"][marked]
    if len(covered) and not all_hold(covered, stored):
        wrong[marked] |= stored != [crc32c.crc32c(row) for row in covered]
    return np.flatnonzero(wrong)


def _covered(images: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What the checksum of each row is of, (n, bytes) uint8."""
    return np.concatenate(
        [_bytes_by_row(images)[:, :-CRC_BYTES], _bytes_by_row(checksums), _bytes_by_row(boxes)], axis=1
    )


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def view_checksum(features: np.ndarray) -> int:
    """Compute the CRC-32C over the stored bytes of one view."""
    return int(crc32c.crc32c(np.ascontiguousarray(features).data.cast("B")))


def kernel_checksum(kernel_path: Mapping[str, Any]) -> int:
    """Compute the CRC-32C over the canonical JSON of a kernel path.

    It tells whether a row was computed on the kernel path of its file.
    """
    return int(crc32c.crc32c(canonical_json(kernel_path).encode()))


def error_bytes(text: str) -> bytes:
    """Encode an error's text as UTF-8 of at most ERROR_BYTES, cut between characters."""
    data = text.encode("utf-8", "backslashreplace")[:ERROR_BYTES]
    return data.decode("utf-8", "ignore").encode()


def _bytes_by_row(table: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8."""
    table = np.ascontiguousarray(table)
    return table.view(np.uint8).reshape(len(table), -1) if len(table) else np.zeros((0, 0), np.uint8)
