"""The mark of a row: done, failed or pending, and the checksum that makes a torn or flipped row show."""

import crc32c
import numpy as np

from amnet_common.layout import ERROR_BYTES


def row_checksum(image: np.ndarray, checksums: np.ndarray, boxes: np.ndarray) -> int:
    """CRC-32C over a row's record without its last field, its view checksums (V,) and its boxes (V, 5)."""
    record = image.tobytes()[: -image.dtype["crc32c"].itemsize]
    return int(crc32c.crc32c(boxes.tobytes(), crc32c.crc32c(checksums.tobytes(), crc32c.crc32c(record))))


def view_checksum(features: np.ndarray) -> int:
    """CRC-32C over the stored bytes of one view."""
    return int(crc32c.crc32c(np.ascontiguousarray(features).data.cast("B")))


def error_bytes(text: str) -> bytes:
    """`text` as UTF-8 of at most ERROR_BYTES, cut between characters."""
    data = text.encode("utf-8", "backslashreplace")[:ERROR_BYTES]
    return data.decode("utf-8", "ignore").encode()
