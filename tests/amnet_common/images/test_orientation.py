"""Which way a picture lies, however its file says so."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from amnet_common.images import decode_rgb
from amnet_common.images.bounds import ignored_pillow_warnings
from amnet_common.images.orientation import orientation_number

BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4


def exif(kind: int, count: int, value: bytes, order: str = ">") -> bytes:
    """An Exif block of one tag: the orientation, of that TIFF type."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}HHHI", 1, 0x0112, kind, count) + value.ljust(4, b"\0") + bytes(4)


@pytest.fixture
def lying(tmp_path):
    """lying(exif) -> bytes of a JPEG of 40x24 pixels with that Exif block."""

    def make(block):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).resize((40, 24), Image.Resampling.NEAREST)
        image.save(tmp_path / "a.jpg", quality=95, exif=block)
        return (tmp_path / "a.jpg").read_bytes()

    return make


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "count", "order"),
    [
        (BYTE, 1, ">"),
        (BYTE, 1, "<"),
        (ASCII, 2, ">"),
        (SHORT, 1, ">"),
        (SHORT, 1, "<"),
        (LONG, 1, "<"),
        (SHORT, 2, ">"),
    ],
)
def test_orientation_of_any_type_is_applied(lying, number, kind, count, order):
    value = {BYTE: bytes([number]), ASCII: b"%d\0" % number, LONG: struct.pack(f"{order}I", number)}
    short = struct.pack(f"{order}H", number) * count
    with ignored_pillow_warnings():
        found = decode_rgb(lying(exif(kind, count, value.get(kind, short), order)))
    as_pillow_says = ImageOps.exif_transpose(Image.open(io.BytesIO(lying(exif(SHORT, 1, struct.pack(">H", number))))))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(as_pillow_says))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (6, 6),
        (b"\x06", 6),
        (b"\x00\x06", 6),
        ("6", 6),
        ("6\0", 6),
        ("\x06", 6),
        ((6, 6), 6),
        (6.0, 6),
        (None, 0),
        (b"", 0),
        ("", 0),
        ((), 0),
        (object(), 0),
    ],
)
def test_orientation_is_read_from_what_files_hold(value, number):
    assert orientation_number(value) == number


@pytest.mark.parametrize("value", [0, 9, 255])
def test_orientation_that_means_nothing_leaves_the_picture_as_it_lies(lying, value):
    assert decode_rgb(lying(exif(BYTE, 1, bytes([value])))).size == (40, 24)


@pytest.mark.parametrize("name", ["orient6", "orient6_as_ascii", "orient6_as_byte", "orient6_as_long"])
def test_the_same_photograph_lies_the_same_way(shared, name):
    folder = shared / "cases" / "extraction" / "16_exif_icc_ok_files"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    assert decode_rgb((folder / f"exif_{name}.jpg").read_bytes()).size == (320, 240)
