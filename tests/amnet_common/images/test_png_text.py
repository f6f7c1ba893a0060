"""PNG files with long or damaged texts and profiles: the picture is whole, and read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb
from amnet_common.images.png_text import SIGNATURE, inflated, without_texts

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
LONG = b"x" * (3 * 2**20)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(*extra: bytes, last: bytes = b"") -> bytes:
    """A PNG with more chunks behind its header, and `last` behind its pixels."""
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, "PNG")
    whole = data.getvalue()
    return whole[:33] + b"".join(extra) + whole[33:-12] + last + whole[-12:]


def text(kind: bytes, value: bytes, key: bytes = b"Comment") -> bytes:
    packed = zlib.compress(value)
    return {
        b"tEXt": chunk(kind, key + b"\0" + value),
        b"zTXt": chunk(kind, key + b"\0\0" + packed),
        b"iTXt": chunk(kind, key + b"\0\1\0\0\0" + packed),
        b"iCCP": chunk(kind, key + b"\0\0" + packed),
    }[kind]


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_picture_with_more_than_a_megabyte_of_metadata_is_read(kind, place):
    long = text(kind, LONG)
    data = png(long) if place == "before" else png(last=long)
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), PIXELS)


def test_picture_whose_texts_are_long_together_is_read():
    data = png(*[text(b"zTXt", b"y" * (2**20 - 1), b"k%d" % i) for i in range(70)])
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), PIXELS)


def test_picture_with_a_bomb_for_a_profile_is_read():
    data = png(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(10**8))))
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), PIXELS)
    assert without_texts(data)[1] == b""


@pytest.mark.parametrize("damaged", [chunk(b"zTXt", b"k\0\7abc"), text(b"tEXt", b"abc")[:-1] + b"?"])
def test_picture_with_a_damaged_text_is_read(damaged):
    np.testing.assert_array_equal(np.asarray(decode_rgb(png(damaged))), PIXELS)


@pytest.mark.parametrize("compressed", [0, 1])
def test_orientation_of_a_long_xmp_is_kept(compressed):
    packet = b'<x tiff:Orientation="6"/>' + LONG
    packed = zlib.compress(packet) if compressed else packet
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0" + packed)
    data = png(xmp, text(b"zTXt", LONG))
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), np.rot90(PIXELS, -1))


def test_long_profile_comes_back_whole():
    data = png(text(b"iCCP", LONG))
    without, profile = without_texts(data)
    assert (without, profile) == (png(), LONG)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", SIGNATURE, png(), png()[:50], SIGNATURE + b"\xff" * 30])
def test_file_without_texts_comes_back_as_it_is(data):
    assert without_texts(data) == (data, None)


def test_picture_that_is_cut_is_refused_with_and_without_texts():
    for data in (png(text(b"zTXt", LONG)), png()):
        with pytest.raises(ImageError):
            decode_rgb(data[:-60])


def test_unpacking_ends_at_its_limit():
    packed = zlib.compress(bytes(1000))
    assert (inflated(packed, 1000), inflated(packed, 999), inflated(b"no", 9)) == (bytes(1000), b"", b"")


@pytest.mark.parametrize("name", ["png_iccp_1.2MB", "png_iccp_bomb", "png_iccp_garbage", "png_ztxt_1.2MB_metadata"])
def test_pictures_of_the_case_are_read(shared, name):
    folder = shared / "cases" / "extraction" / "07_png_metadata_over_1MB"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    with Image.open(folder.parent / "00_reference.png") as reference:
        found = decode_rgb((folder / f"{name}.png").read_bytes())
        np.testing.assert_array_equal(np.asarray(found), np.asarray(reference.convert("RGB")))
