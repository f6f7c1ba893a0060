"""JPEG files without their end marker are read where nothing else is missing, and refused where anything is."""

import io

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb
from amnet_common.images.jpeg_end import has_every_scan, segments

KINDS = {
    "baseline": {},
    "grey": {"mode": "L"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "fine": {"quality": 100, "subsampling": 0},
    "coarse": {"quality": 5},
    "cmyk": {"mode": "CMYK"},
}


def jpeg(kind: str) -> bytes:
    options = {"quality": 90} | KINDS[kind]
    image = Image.effect_mandelbrot((75, 52), (-2, -2, 2, 2), 20).convert(options.pop("mode", "RGB"))
    data = io.BytesIO()
    image.save(data, "JPEG", **options)
    assert data.getvalue().endswith(b"\xff\xd9")
    return data.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [1, 2])
def test_picture_that_lacks_only_its_end_is_read_whole(kind, missing):
    whole = jpeg(kind)
    np.testing.assert_array_equal(np.asarray(decode_rgb(whole[:-missing])), np.asarray(decode_rgb(whole)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [8, 12, 30, 100, 300])
def test_picture_that_lacks_more_is_refused(kind, missing):
    with pytest.raises(ImageError, match=r"cannot be decoded: .*[Tt]runcated|not an image that Pillow can identify"):
        decode_rgb(jpeg(kind)[:-missing])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", range(3, 8))
def test_a_few_bytes_less_never_show_another_picture(kind, missing):
    """What is missing may be without effect, the padding of the last byte say; it may not show."""
    whole = jpeg(kind)
    try:
        found = decode_rgb(whole[:-missing])
    except ImageError:
        return
    np.testing.assert_array_equal(np.asarray(found), np.asarray(decode_rgb(whole)))


def test_progressive_picture_cut_between_two_scans_is_refused():
    whole = jpeg("progressive")
    starts = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    tables = whole.rfind(b"\xff\xc4", 0, starts[-1])
    assert tables > starts[-2]
    with pytest.raises(ImageError, match=r"cannot be decoded: .*truncated"):
        decode_rgb(whole[:tables])


@pytest.mark.parametrize("kind", KINDS)
def test_scans_of_a_whole_file_are_all_there(kind):
    whole = jpeg(kind)
    assert has_every_scan(whole)
    assert [marker for marker, _ in segments(whole)][:1] == [0xEE if kind == "cmyk" else 0xE0]
    assert not has_every_scan(whole[: whole.index(b"\xff\xda")])


@pytest.mark.parametrize("name", ["baseline", "progressive"])
def test_pictures_of_the_case_are_read(shared, name):
    folder = shared / "cases" / "extraction" / "15_jpeg_without_eoi"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    data = (folder / f"jpeg_{name}_no_eoi.jpg").read_bytes()
    np.testing.assert_array_equal(np.asarray(decode_rgb(data)), np.asarray(decode_rgb(data + b"\xff\xd9")))
