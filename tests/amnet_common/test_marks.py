"""Checksums and error texts as they are stored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.layout import ERROR_BYTES, image_dtype
from amnet_common.marks import error_bytes, row_checksum, view_checksum


def naive_crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bit by bit (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def row():
    image = np.zeros(1, image_dtype(5))[0]
    image["id"], image["size"], image["status"] = b"a.jpg", 77, 1
    return image, np.array([1, 2], "<u4"), np.arange(10, dtype="<f4").reshape(2, 5)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=20))
def test_view_checksum_is_crc32c(values):
    plane = np.array(values, "<u2").view("<f2")
    assert view_checksum(plane) == naive_crc32c(plane.tobytes())


def test_row_checksum_is_crc32c_over_record_checksums_and_boxes():
    image, checksums, boxes = row()
    assert row_checksum(image, checksums, boxes) == naive_crc32c(
        image.tobytes()[:-4] + checksums.tobytes() + boxes.tobytes()
    )


@pytest.mark.parametrize("field", ["id", "sha256", "size", "mtime_ns", "width", "height", "status", "error"])
def test_every_field_of_the_record_changes_the_row_checksum(field):
    image, checksums, boxes = row()
    before = row_checksum(image, checksums, boxes)
    image[field] = b"b.png" if image.dtype[field].kind == "S" else 9
    assert row_checksum(image, checksums, boxes) != before


@given(st.text(max_size=300) | st.text(alphabet="aü影🙂", min_size=40, max_size=120))
def test_error_text_is_cut_between_characters(text):
    stored = error_bytes(text)
    assert len(stored) <= ERROR_BYTES
    assert text.startswith(stored.decode())
    assert len(stored) > ERROR_BYTES - 4 or stored.decode() == text


def test_error_text_with_bytes_of_a_file_name_can_be_stored():
    assert error_bytes("caf\udce9.jpg: missing") == rb"caf\udce9.jpg: missing"
