"""The checksum of many rows from those of each is that of all their bytes; one wrong one always shows."""

import crc32c
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection.row_checksums import all_hold, joined


@given(st.integers(0, 70), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_joined_checksum_is_that_of_all_bytes_in_order(count, length, seed):
    rows = np.random.default_rng(seed).integers(0, 256, (count, length), np.uint8)
    each = np.array([crc32c.crc32c(row.tobytes()) for row in rows], np.uint32)
    assert joined(each, length) == crc32c.crc32c(rows.tobytes())
    assert all_hold(rows, each)


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.data())
def test_one_wrong_checksum_or_flipped_bit_shows(count, seed, data):
    rows = np.random.default_rng(seed).integers(0, 256, (count, 37), np.uint8)
    each = np.array([crc32c.crc32c(row.tobytes()) for row in rows], np.uint32)
    row, bit = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, 37 * 8 - 1))
    wrong = each.copy()
    wrong[row] ^= np.uint32(1 << (bit % 32))
    assert not all_hold(rows, wrong)
    rows[row, bit // 8] ^= 1 << (bit % 8)
    assert not all_hold(rows, each)


def test_rows_need_not_be_contiguous():
    rows = np.random.default_rng(0).integers(0, 256, (9, 20), np.uint8)[::2, 3:11]
    assert all_hold(rows, np.array([crc32c.crc32c(row.tobytes()) for row in rows], np.uint32))
