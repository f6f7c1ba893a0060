"""Checksums and error texts as they are stored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection.layout import ERROR_BYTES, PENDING, image_dtype
from amnet_common.collection.marks import CHUNK, damaged_rows, error_bytes, row_checksum, row_checksums, view_checksum


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


def rows_of(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole rows, a third of each status: records, checksums (n, 2) and boxes (n, 2, 5)."""
    random = np.random.default_rng(seed)
    images = np.zeros(number, image_dtype(5))
    images["id"] = [f"{row}.jpg"[:5].encode() for row in range(number)]
    images["status"] = random.integers(0, 3, number)
    checksums = random.integers(0, 2**32, (number, 2), dtype=np.uint32)
    boxes = random.random((number, 2, 5), np.float32)
    marked = images["status"] != PENDING
    images["size"][marked] = random.integers(0, 2**40, marked.sum())
    for row in np.flatnonzero(marked):
        images["crc32c"][row] = row_checksum(images[row], checksums[row], boxes[row])
    return images, checksums, boxes


@pytest.mark.parametrize("number", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_row_checksums_equal_those_of_one_row_at_a_time(number):
    images, checksums, boxes = rows_of(number, number)
    wanted = [row_checksum(images[row], checksums[row], boxes[row]) for row in range(number)]
    found = row_checksums(images, checksums, boxes)
    assert (found.dtype, found.tolist()) == (np.uint32, wanted)


def test_row_checksums_do_not_need_contiguous_tables():
    images, checksums, boxes = rows_of(0, 20)
    wanted = [row_checksum(images[row], checksums[row], boxes[row]) for row in range(0, 20, 3)]
    assert row_checksums(images[::3], checksums[::3], boxes[::3]).tolist() == wanted


@given(st.integers(0, 1000), st.integers(0, 12), st.data())
def test_damaged_rows_are_those_that_one_by_one_do_not_hold(seed, number, data):
    images, checksums, boxes = rows_of(seed, number)
    assert damaged_rows(images, checksums, boxes).tolist() == []
    tables = images, checksums, boxes
    hit = {}  # what was changed, and whether that must show
    for row in data.draw(st.sets(st.integers(0, number - 1))) if number else ():
        table = tables[data.draw(st.integers(0, 2))]
        place = data.draw(st.integers(5 if table is images else 0, table[row].nbytes - 1))
        table[row : row + 1].view(np.uint8).reshape(-1)[place] ^= 1 << data.draw(st.integers(0, 7))
        hit[row] = table is images or images["status"][row] != PENDING
    assert damaged_rows(images, checksums, boxes).tolist() == sorted(row for row, shows in hit.items() if shows)


@pytest.mark.parametrize("field", [name for name in image_dtype(5).names if name != "id"])
def test_stray_byte_in_a_pending_row_is_noticed(field):
    images, checksums, boxes = rows_of(3, 4)
    images["status"] = PENDING
    for name in set(images.dtype.names) - {"id"}:
        images[name] = np.zeros((), images.dtype[name])
    assert damaged_rows(images, checksums, boxes).tolist() == []
    images[field][2] = b"x" if images.dtype[field].kind == "S" else 1
    assert damaged_rows(images, checksums, boxes).tolist() == [2]


def test_pending_row_may_have_checksums_and_boxes_of_a_write_that_was_cut_off():
    images, checksums, boxes = rows_of(3, 4)
    images[:] = np.zeros((), images.dtype)
    assert checksums.all()
    assert damaged_rows(images, checksums, boxes).tolist() == []


@pytest.mark.parametrize("status", [3, 255])
def test_unknown_status_is_damage_even_with_a_right_checksum(status):
    images, checksums, boxes = rows_of(3, 4)
    images["status"][1] = status
    images["crc32c"][1] = row_checksum(images[1], checksums[1], boxes[1])
    assert damaged_rows(images, checksums, boxes).tolist() == [1]


@given(st.text(max_size=300) | st.text(alphabet="aü影🙂", min_size=40, max_size=120))
def test_error_text_is_cut_between_characters(text):
    stored = error_bytes(text)
    assert len(stored) <= ERROR_BYTES
    assert text.startswith(stored.decode())
    assert len(stored) > ERROR_BYTES - 4 or stored.decode() == text


def test_error_text_with_bytes_of_a_file_name_can_be_stored():
    assert error_bytes("caf\udce9.jpg: missing") == rb"caf\udce9.jpg: missing"
