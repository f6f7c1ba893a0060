"""Files that are no pictures: each gives a reason, none a crash or a wait."""

import hashlib
import os
import struct
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb, read_source
from amnet_common.images.bounds import ignored_pillow_warnings
from amnet_common.images.colour_codes import BT709, PRIMARIES
from amnet_common.images.matrix_profile import SRGB_CURVE, matrix_profile
from extract.job import PIXELS


def jpeg(tmp_path, quality=90) -> bytes:
    path = tmp_path / "whole.jpg"
    Image.effect_mandelbrot((64, 64), (-2, -2, 2, 2), 20).convert("RGB").save(path, quality=quality)
    return path.read_bytes()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly anything: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_file_is_read_once_with_its_hash_size_and_time(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"some bytes")
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    source = read_source(path)
    assert (source.data, source.size, source.mtime_ns) == (b"some bytes", 10, path.stat().st_mtime_ns)
    assert source.sha256 == hashlib.sha256(b"some bytes").digest()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "missing file"),
        (lambda path: path.touch(), r"empty file \(0 bytes\)"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: (path.touch(), os.truncate(path, 2**30 + 1)), f"file of {2**30 + 1} bytes, more than {2**30}"),
    ],
    ids=["missing", "empty", "folder", "pipe", "loop", "device", "huge"],
)
def test_file_that_cannot_be_read_says_why(tmp_path, make, reason):
    make(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=f"^{reason}$"):
        read_source(tmp_path / "a.jpg")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_refused_files_are_closed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for name in (".", "pipe", "missing") * 5:
        with pytest.raises(ImageError):
            read_source(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("keep", [3, 200, 700, -100])
def test_truncated_jpeg_is_refused(tmp_path, keep):
    with pytest.raises(ImageError, match=r"cannot be decoded: .*[Tt]runcated|not an image that Pillow can identify"):
        decode_rgb(jpeg(tmp_path)[:keep])


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg></svg>", bytes(1000), b"\xff\xd8\xff"])
def test_other_bytes_are_no_picture(data):
    with pytest.raises(ImageError, match=r"^not an image that Pillow can identify$"):
        decode_rgb(data)


def test_decompression_bomb_is_refused_before_it_is_unpacked():
    with pytest.raises(ImageError, match=r"^400 megapixels \(20000 x 20000\), more than 256; --max-megapixels"):
        decode_rgb(png_of_size(20_000, 20_000))


def test_png_that_holds_less_than_it_claims_is_refused():
    with pytest.raises(ImageError, match=r"^cannot be decoded: "):
        decode_rgb(png_of_size(300, 300))


@given(st.data())
def test_damaged_bytes_give_a_picture_or_a_reason(tmp_path_factory, data):
    whole = bytearray(jpeg(tmp_path_factory.getbasetemp()))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with ignored_pillow_warnings():
        try:
            outcome = decode_rgb(bytes(whole)).mode
        except ImageError as error:
            outcome = str(error)
    assert outcome.startswith(("RGB", "cannot be decoded: ", "not an image that Pillow can identify"))


def test_postscript_named_jpg_is_a_failed_row_and_leaves_no_file(extract, pictures, tmp_path):
    dataset = pictures(2)
    (dataset.image_root / "trap.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(ran) (w) file closefile\nshowpage\n%%EOF\n"
    )
    result = extract(dataset)
    assert result.status == 1
    assert "failed: trap.jpg: EPS is not read; expected one of JPEG (MPO), PNG," in result.stderr
    assert "2 images done (2 now), 1 failed" in result.stdout
    assert not (tmp_path / "ran").exists()


def test_picture_above_the_megapixels_that_are_allowed_fails_and_may_be_allowed_later(extract, pictures, draw):
    dataset = pictures(2)
    draw(dataset.image_root / "000.png", size=(300, 200))
    first = extract(dataset, "--max-megapixels", "0.05")
    assert first.status == 1
    assert (
        "failed: 000.png: 0.06 megapixels (300 x 200), more than 0.05; --max-megapixels allows larger" in first.stderr
    )
    assert extract(dataset, "--retry-failed").status == 0
    assert "--max-megapixels: expected a number above 0, found -1" in extract(dataset, "--max-megapixels", "-1").stderr


def test_summary_counts_converted_pictures_and_profiles_of_no_use(extract, pictures):
    dataset = pictures(5)
    profiles = {0: matrix_profile(PRIMARIES[12], SRGB_CURVE), 1: matrix_profile(BT709, SRGB_CURVE), 2: b"damaged"}
    for number, profile in profiles.items():
        path = dataset.image_root / f"{number:03}.png"
        with Image.open(path) as image:
            image.save(path, icc_profile=profile)
    result = extract(dataset)
    assert "5 images done (5 now)" in result.stdout
    assert result.stdout.endswith(", 1 converted to sRGB, 1 with a colour profile that is of no use\n")


def test_collection_of_unconverted_colours_is_of_another_spec(extract, pictures, monkeypatch):
    dataset = pictures(2)
    older = "rgb8, exif upright, first frame, transparency over white"
    for module in ("job", "opening"):
        monkeypatch.setattr(f"extract.{module}.PIXELS", older)
    assert extract(dataset).status == 0
    for module in ("job", "opening"):
        monkeypatch.setattr(f"extract.{module}.PIXELS", PIXELS)
    result = extract(dataset)
    assert result.status == 2
    assert f"pixels: expected {PIXELS}, found {older}" in result.stderr


def test_folder_says_what_it_leaves_aside_and_takes_what_is_asked_for(extract, pictures):
    dataset = pictures(3)
    for name in ("@eaDir/000.png/SYNOPHOTO_THUMB_M.jpg", "raw/IMG_1.CR3", "raw/IMG_2.CR3", "a.jxl"):
        (dataset.image_root / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset.image_root / name).touch()
    result = extract(dataset, "--exclude", "002.*")
    assert "2 images done (2 now), 0 failed" in result.stdout
    assert "note: left aside, no image's suffix: 2 .cr3, 1 .jxl\n" in result.stderr
    assert "note: left out, 1 folders of thumbnails, previews or bins, such as @eaDir; --include NAME" in result.stderr
    only = extract(dataset, "--include", "001.png", "--include", "000.png", "--out", "only.h5")
    assert "2 images done (2 now), 0 failed" in only.stdout
    assert extract(dataset, "--include", "@eaDir", "--out", "all.h5").status == 1  # its thumbnail is empty


def test_heif_without_its_extra_is_a_failed_row_that_names_it(extract, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    dataset = pictures(1)
    (dataset.image_root / "IMG_1.HEIC").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100))
    assert "failed: IMG_1.HEIC: HEIF (HEIC) is read by pillow-heif" in extract(dataset).stderr
