"""Greys of more than 8 bits: which value is white."""

import struct

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb
from amnet_common.images.deep import Samples, choose_range, deep_to_grey

UNSIGNED, SIGNED, FLOATS = 1, 2, 3
RAMP = np.array([0, 0.25, 0.5, 1.0])
GREYS = np.rint(RAMP * 255)


def tiff(values, sample_format, photometric=1, bits=None, order="<", **ranges) -> bytes:
    """An uncompressed grey TIFF of one row; `ranges`: t281=(kind, value) and the like."""
    values = np.atleast_2d(values)
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    return _tiff(data, values.shape, bits or values.itemsize * 8, sample_format, photometric, order, ranges)


def _tiff(data, shape, bits, sample_format, photometric, order, ranges) -> bytes:
    tags = {256: ("H", shape[1]), 257: ("H", shape[0]), 258: ("H", bits), 259: ("H", 1), 262: ("H", photometric),
            273: ("I", 8), 277: ("H", 1), 278: ("H", shape[0]), 279: ("I", len(data)),
            339: ("H", sample_format)}  # fmt: skip
    tags |= {int(name[1:]): value for name, value in ranges.items()}
    kinds = {"H": 3, "I": 4, "h": 8, "i": 9, "f": 11}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kinds[kind], 1) + struct.pack(f"{order}{kind}", value).ljust(4, b"\0")
        for tag, (kind, value) in sorted(tags.items())
    )
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def greys(data: bytes) -> np.ndarray:
    pixels = np.asarray(decode_rgb(data))
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
@pytest.mark.parametrize("over", [1.0, 1.0001, 1.02, 1.1, 1.2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_a_little_above_white_are_white(white, over, order):
    values = np.array([*(RAMP * white), over * white], np.float32)
    np.testing.assert_array_equal(greys(tiff(values, FLOATS, order=order)), [*GREYS, 255])


@pytest.mark.parametrize("name", ["1.00", "1.02", "255", "255.6"])
def test_the_same_float_picture_is_as_bright_in_every_range(shared, name):
    folder = shared / "cases" / "extraction" / "05_float_tiff_black"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    mean = np.asarray(decode_rgb((folder / f"float_grey_max_{name}.tif").read_bytes())).mean()
    assert mean == pytest.approx(122.0, abs=3.0)


def test_floats_a_little_below_black_are_black():
    assert greys(tiff(np.array([-0.02, 0, 1], np.float32), FLOATS)).tolist() == [0, 0, 255]


@pytest.mark.parametrize("high", [1.5, 8.0, 20.0, 400.0, 4095.0, 1e20])
def test_floats_of_an_unknown_range_are_refused_and_not_black(high):
    with pytest.raises(
        ImageError, match=r"pixel values up to .* in 32-bit floats: no usual range, so that white cannot"
    ):
        greys(tiff(np.array([0.1, high], np.float32), FLOATS))


def test_a_declared_white_decides_where_values_do_not():
    values = np.array([0, 20], np.float32)
    assert greys(tiff(values, FLOATS, t341=("f", 255.0))).tolist() == [0, 20]
    assert greys(tiff(np.array([0, 300, 4095], np.uint16), UNSIGNED, t281=("H", 4095))).tolist() == [0, 19, 255]


def test_a_declared_maximum_that_is_only_the_largest_value_means_nothing():
    data = tiff(np.array([0, 30000, 40000], np.uint16), UNSIGNED, t281=("H", 40000))
    np.testing.assert_array_equal(greys(data), np.rint(np.array([0, 30000, 40000]) / 257))


@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_16_bits_are_as_bright_as_unsigned_ones(order):
    half = tiff(np.array(RAMP * 32767, np.int16), SIGNED, order=order)
    np.testing.assert_array_equal(greys(half), greys(tiff(np.array(RAMP * 65535, np.uint16), UNSIGNED, order=order)))
    np.testing.assert_allclose(greys(half), GREYS, atol=1)


def test_signed_bytes_are_as_bright_as_unsigned_ones():
    assert greys(tiff(np.array([0, 64, 127], np.int8), SIGNED)).tolist() == [0, 129, 255]


@pytest.mark.parametrize(("dtype", "low"), [(np.int8, -5), (np.int16, -300), (np.int32, -9)])
def test_negative_integers_are_refused(dtype, low):
    with pytest.raises(ImageError, match="negative or not finite"):
        greys(tiff(np.array([low, 100], dtype), SIGNED))


def test_signed_range_that_the_file_declares_whole_is_taken_whole():
    data = tiff(np.array([-32768, 0, 32767], np.int16), SIGNED, t340=("h", -32768), t341=("h", 32767))
    assert greys(data).tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "sample_format"),
    [(np.array(RAMP * 65535, np.uint16), UNSIGNED), (np.array(RAMP, np.float32), FLOATS)],
)
def test_white_is_zero_is_turned_round(values, sample_format):
    np.testing.assert_allclose(greys(tiff(values, sample_format, photometric=0)), 255 - GREYS, atol=1)


@pytest.mark.parametrize("bits", [8, 16, 24, 31])
def test_32_bit_integers_hold_pictures_of_every_depth(bits):
    values = np.array(RAMP * (2.0**bits - 1), np.int32)
    np.testing.assert_allclose(greys(tiff(values, SIGNED)), GREYS, atol=1)


def test_unsigned_32_bits_are_not_taken_for_negative():
    np.testing.assert_allclose(greys(tiff(np.array(RAMP * (2.0**32 - 1), np.uint32), UNSIGNED)), GREYS, atol=1)


@pytest.mark.parametrize("high", [7, 1023, 4095])
def test_32_bit_integers_of_an_unknown_depth_are_refused(high):
    with pytest.raises(ImageError, match=f"pixel values up to {high} in 32-bit integers: no usual range"):
        greys(tiff(np.array([0, high], np.int32), SIGNED))


def test_twelve_bits_are_scaled_by_twelve_bits():
    packed = bytes([0x00, 0x08, 0x00, 0xFF, 0xFF, 0xFF])  # 0, 2048, 4095, 4095
    data = _tiff(packed, (1, 4), 12, UNSIGNED, 1, "<", {})
    assert greys(data).tolist() == [0, 128, 255, 255]


def test_black_pictures_are_black_in_every_type():
    for values, kind in ((np.zeros(3, np.float32), FLOATS), (np.zeros(3, np.int32), SIGNED)):
        assert greys(tiff(values, kind)).tolist() == [0, 0, 0]


def test_a_picture_is_scaled_in_strips_as_in_one_piece(monkeypatch):
    values = np.random.default_rng(0).integers(0, 65536, (37, 20)).astype(np.uint16)
    whole = np.asarray(deep_to_grey(Image.fromarray(values)))
    monkeypatch.setattr("amnet_common.images.deep.STRIP_PIXELS", 100)
    np.testing.assert_array_equal(np.asarray(deep_to_grey(Image.fromarray(values))), whole)


def test_range_is_a_function_of_what_the_file_says():
    assert choose_range(Samples(16), 0, 255) == (0, 65535)  # dark, and it stays so
    assert choose_range(Samples(16, signed=True), 0, 255) == (0, 32767)
    assert choose_range(Samples(32, floats=True), 0, 0.03) == (0, 1)
    assert choose_range(Samples(32), 0, 200) == (0, 255)


def test_samples_that_pillow_does_not_read_are_named():
    with pytest.raises(ImageError, match=r"^TIFF with samples or a compression that Pillow does not read$"):
        decode_rgb(tiff(RAMP, FLOATS))  # 64 bits
