"""HEIF is read where pillow-heif is installed, else its rows name the extra; camera raws are named."""

import struct
import sys

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import Budget, Limits, decode_rgb, decoded
from amnet_common.images.heif import heif_profile, is_heif

HEAD = b"\0\0\0\x1cftyp%b\0\0\0\0mif1heic"
NO_EXTRA = r"^HEIF \(HEIC\) is read by pillow-heif, which is not installed: pip install 'amnet\[heif\]'$"


@pytest.fixture
def case(shared):
    folder = shared / "cases" / "extraction" / "09_heic_hif_jxl_mpo"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    return folder


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1"])
def test_extra_is_named_where_it_is_not_installed(monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=NO_EXTRA):
        decode_rgb(HEAD % brand + bytes(100))


@pytest.mark.parametrize("name", ["photo.heic", "DSCF0001.HIF", "heic_named_jpg.jpg"])
def test_heif_of_any_name_is_read(case, name):
    pytest.importorskip("pillow_heif", reason="needs the extra heif")
    with Image.open(case.parent / "00_reference.png") as reference:
        wanted = np.asarray(reference.convert("RGB")).astype(int)
    limits = Limits()
    with decoded((case / name).read_bytes(), limits, Budget(limits.decoding_bytes)) as picture:
        assert (picture.width, picture.height, picture.profile) == (320, 240, "")
        assert np.abs(np.asarray(picture.image) - wanted).mean() < 4


def test_damaged_heif_is_refused(case):
    pytest.importorskip("pillow_heif", reason="needs the extra heif")
    for keep in (40, 300, 5000):
        with pytest.raises(ImageError, match=r"^cannot be decoded: "):
            decode_rgb((case / "photo.heic").read_bytes()[:keep])


def test_jpeg_xl_of_the_case_is_named(case):
    with pytest.raises(ImageError, match=r"^JPEG XL is not read; expected one of JPEG"):
        decode_rgb((case / "jpegxl.jxl").read_bytes())


def test_mpo_of_the_case_is_read(case):
    assert decode_rgb((case / "mpo.mpo").read_bytes()).size == (320, 240)


def test_other_containers_of_the_kind_are_no_heif():
    assert is_heif(HEAD % b"heic")
    assert not any(is_heif(data) for data in (HEAD % b"avif", HEAD % b"crx ", b"", b"ftypheic"))


def codes(primaries: int, transfer: int) -> dict:
    return {"nclx_profile": {"color_primaries": primaries, "transfer_characteristics": transfer}}


def test_colours_of_a_heif_are_those_that_it_states():
    for info in ({}, codes(2, 2), codes(1, 1), codes(1, 13), codes(2, 6)):
        assert heif_profile(info) is None
    assert heif_profile({"icc_profile": b"p", **codes(9, 16)}) == b"p"
    assert heif_profile(codes(12, 13))[12:20] == b"mntrRGB "
    with pytest.raises(ImageError, match=r"^a HEIF in PQ \(HDR\) colours; expected one that a usual screen can show$"):
        heif_profile(codes(9, 16))


def raw(*tags: tuple[int, int, int], start: bytes = b"II*\0" + struct.pack("<I", 16) + bytes(8)) -> bytes:
    """A TIFF of an 8x8 thumbnail and further tags (number, type, value)."""
    pixels = 16 + 2 + 12 * (9 + len(tags)) + 4
    entries = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, pixels), (277, 3, 1),
               (278, 3, 8), (279, 4, 64), *tags]  # fmt: skip
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(entries))
    return start + struct.pack("<H", len(entries)) + packed + bytes(4) + bytes(64)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (raw((50706, 4, 0x401)), "camera raw (DNG)"),
        (raw((254, 4, 1), (330, 4, 0)), "camera raw (TIFF)"),
        (raw(start=b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(4)), "camera raw (CR2)"),
        (b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(40), "camera raw (CR2)"),
    ],
    ids=["DNG", "NEF and ARW", "CR2", "CR2 that is no TIFF"],
)
def test_camera_raw_is_named_and_its_thumbnail_is_not_taken(data, name):
    with pytest.raises(ImageError) as refused:
        decode_rgb(data)
    assert str(refused.value).startswith(f"{name} is not read; expected one of JPEG")


def test_tiff_with_other_tags_is_read():
    assert decode_rgb(raw((254, 4, 0), (330, 4, 0))).size == (8, 8)
    assert decode_rgb(raw((254, 4, 1))).size == (8, 8)
