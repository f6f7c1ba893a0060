"""Colour profiles: every picture comes in sRGB, and what is sRGB already keeps its pixels."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from amnet_common.datasets import Dataset
from amnet_common.errors import ImageError
from amnet_common.images import Budget, Limits, decoded
from amnet_common.images.colour_codes import BT709, PRIMARIES
from amnet_common.images.colours import CONVERTED, IGNORED, conversion
from amnet_common.images.matrix_profile import SRGB_CURVE, matrix_profile
from amnet_common.images.png_chunks import chunk
from extract.crops import ViewPlan
from extract.pipeline import Cutter

P3, REC2020 = PRIMARIES[12], PRIMARIES[9]
ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
RGB = np.random.default_rng(0).integers(40, 216, (16, 24, 3)).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HDR_PNG = "expected one that a usual screen can show"


def file_of(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels, mode).save(data, kind, **options)
    return data.getvalue()


def read(data: bytes) -> tuple[np.ndarray, str]:
    limits = Limits()
    with decoded(data, limits, Budget(limits.decoding_bytes)) as picture:
        image = picture.srgb(picture.image)
        assert image.mode == "RGB"
        return np.asarray(image).astype(int), picture.profile


def reference(pixels: np.ndarray, xy, decode) -> np.ndarray:
    """The same colours in sRGB, by the textbook (white is D65 in both): xy and tone curve to XYZ, and from there."""

    def to_xyz(xy):
        columns = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in np.reshape(xy, (4, 2))]
        primaries = np.stack(columns[1:], axis=1)
        return primaries * np.linalg.solve(primaries, columns[0])

    linear = decode(pixels / 255) @ (np.linalg.inv(to_xyz(BT709)) @ to_xyz(xy)).T
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_light(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def close(found, wanted) -> bool:
    difference = np.abs(found - wanted)
    return difference.mean() < 1 and np.quantile(difference, 0.99) <= 4


@pytest.mark.parametrize(
    ("xy", "curve", "decode"),
    [
        (P3, SRGB_CURVE, srgb_light),
        (ADOBE, (2.2,), lambda v: v**2.2),
        (REC2020, (2.4,), lambda v: v**2.4),
        (BT709, (1.0,), lambda v: v),
        ((*BT709[:2], *BT709[4:6], *BT709[2:4], *BT709[6:]), SRGB_CURVE, srgb_light),  # red and green exchanged
    ],
    ids=["P3", "Adobe RGB", "Rec. 2020", "linear", "swapped"],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_embedded_profile_is_converted_to_srgb(xy, curve, decode, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    found, outcome = read(file_of(RGB, kind, icc_profile=matrix_profile(xy, curve), **options))
    assert outcome == CONVERTED
    assert close(found, reference(RGB, xy, decode))
    assert not close(RGB, reference(RGB, xy, decode))  # it would be seen if nothing were done


def table_profile() -> bytes:
    """An sRGB profile as of old: its tone curve is a table."""
    return matrix_profile(BT709, (2.4, 1 / 1.0551, 0.0551 / 1.0551, 1 / 12.92, 0.0404))


@pytest.mark.parametrize("profile", [SRGB, matrix_profile(BT709, SRGB_CURVE), table_profile()])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_srgb_profile_leaves_every_pixel_as_it_is(profile, kind):
    tagged, outcome = read(file_of(RGB, kind, icc_profile=profile))
    np.testing.assert_array_equal(tagged, read(file_of(RGB, kind))[0])
    assert outcome == ""


@pytest.mark.parametrize("profile", [b"", b"garbage", SRGB[:200], SRGB[:128] + bytes(300), bytes(5000)])
def test_damaged_profile_is_ignored_and_said(profile):
    found, outcome = read(file_of(RGB, "TIFF", icc_profile=profile or b"\0"))
    np.testing.assert_array_equal(found, RGB)
    assert outcome == IGNORED


def test_transparency_stays_and_lies_over_white():
    alpha = np.full((16, 24, 1), 255, np.uint8)
    alpha[:8] = 0
    found, outcome = read(file_of(np.concatenate([RGB, alpha], -1), icc_profile=matrix_profile(P3, SRGB_CURVE)))
    opaque, _ = read(file_of(RGB, icc_profile=matrix_profile(P3, SRGB_CURVE)))
    assert outcome == CONVERTED
    assert found[:8].min() == 255
    np.testing.assert_allclose(found[8:], opaque[8:], atol=1)


def test_palette_has_its_colours_converted():
    image = Image.fromarray(RGB).quantize(32)
    data = io.BytesIO()
    image.save(data, "PNG", icc_profile=matrix_profile(P3, SRGB_CURVE))
    found, outcome = read(data.getvalue())
    assert outcome == CONVERTED
    assert close(found, reference(np.asarray(image.convert("RGB")), P3, srgb_light))


def test_profile_of_greys_in_a_colour_picture_is_ignored():
    grey = grey_profile(1.0)
    found, outcome = read(file_of(RGB, icc_profile=grey))
    np.testing.assert_array_equal(found, RGB)
    assert outcome == IGNORED


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of greys: a white and one curve (ICC.1:2010, 8.3.4)."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
            b"kTRC": b"para" + bytes(8) + struct.pack(">i", round(gamma * 65536))}  # fmt: skip
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", at + len(body), len(tag))
        body += tag
    head = bytearray(matrix_profile(BT709, (1.0,))[:128])
    head[:4], head[16:20] = struct.pack(">I", at + len(body)), b"GRAY"
    return bytes(head) + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_profile_is_converted_in_8_and_in_16_bits(dtype):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    pixels = values.astype(np.uint8) if dtype == np.uint8 else (values * 257).astype(np.uint16)
    found, outcome = read(file_of(pixels, icc_profile=grey_profile(1.8)))
    wanted = reference(np.repeat(values[..., None], 3, -1), BT709, lambda v: v**1.8)
    assert outcome == CONVERTED
    assert close(found, wanted)


def test_grey_picture_in_a_colour_profile_has_its_curve():
    values = np.arange(256).reshape(16, 16).astype(np.uint8)
    found, outcome = read(file_of(values, icc_profile=matrix_profile(P3, (1.8,))))
    assert outcome == CONVERTED
    assert close(found, reference(np.repeat(values[..., None], 3, -1), BT709, lambda v: v**1.8))


def png(*chunks: bytes) -> bytes:
    whole = file_of(RGB)
    return whole[:33] + b"".join(chunks) + whole[33:]


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(xy) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(0.45)],
        [gama(0.45455), chrm(BT709)],
        [chrm(BT709)],
        [chunk(b"sRGB", b"\0"), gama(1.0)],
        [chunk(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)],
        [gama(0)],
        [gama(40_000)],
    ],
)
def test_png_that_says_srgb_in_other_words_keeps_its_pixels(chunks):
    found, outcome = read(png(*chunks))
    np.testing.assert_array_equal(found, RGB)
    assert outcome == ""


@pytest.mark.parametrize(
    ("chunks", "xy", "decode"),
    [
        ([gama(1.0)], BT709, lambda v: v),
        ([gama(1 / 1.8)], BT709, lambda v: v**1.8),
        ([gama(0.45455), chrm(P3)], P3, srgb_light),
        ([chrm(ADOBE)], ADOBE, srgb_light),
        ([chunk(b"cICP", bytes([12, 13, 0, 1]))], P3, srgb_light),
        ([chunk(b"cICP", bytes([9, 4, 0, 1])), gama(0.45455)], REC2020, lambda v: v**2.2),
    ],
)
def test_colours_that_a_png_describes_are_converted(chunks, xy, decode):
    found, outcome = read(png(*chunks))
    assert outcome == CONVERTED
    assert close(found, reference(RGB, xy, decode))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ((9, 16, 0, 1), f"a PNG in PQ \\(HDR\\) colours; {HDR_PNG}"),
        ((9, 18, 0, 1), f"a PNG in HLG \\(HDR\\) colours; {HDR_PNG}"),
        ((1, 13, 0, 0), "a PNG in colours of cICP 1-13-0-0, which are not known here"),
        ((77, 13, 0, 1), "a PNG in colours of the codes 77 and 13, which are not known here"),
    ],
)
def test_colours_that_cannot_be_shown_are_named(code, reason):
    with pytest.raises(ImageError, match=f"^{reason}$"):
        read(png(chunk(b"cICP", bytes(code))))


@pytest.mark.parametrize("xy", [[0.3, 0, 0, 0, 0, 0, 0, 0], [0.3] * 8, [0.3127, 0.329, *[0.64, 0.33] * 3]])
def test_damaged_chromaticities_are_ignored(xy):
    found, outcome = read(png(chrm(xy)))
    np.testing.assert_array_equal(found, RGB)
    assert outcome == IGNORED


def test_long_profile_of_a_png_counts_too():
    profile = matrix_profile(P3, SRGB_CURVE)
    padded = struct.pack(">I", len(profile) + 2**21) + profile[4:] + np.random.default_rng(0).bytes(2**21)
    data = file_of(RGB, icc_profile=padded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, outcome = read(data)
    assert outcome == CONVERTED
    assert close(found, reference(RGB, P3, srgb_light))


def test_transform_of_a_profile_is_built_once():
    profile = matrix_profile(ADOBE, (2.3,))
    assert conversion(profile) is conversion(bytes(bytearray(profile)))


@pytest.mark.parametrize(
    ("name", "most"),
    [("adobergb.jpg", 2.5), ("p3.jpg", 2.5), ("prophoto.jpg", 2.5), ("cmyk.jpg", 6), ("swapped_rg.png", 0)],
)
def test_pictures_of_the_case_look_like_the_reference(shared, name, most):
    folder = shared / "cases" / "extraction" / "03_icc_profiles_ignored"
    if not folder.is_dir():
        pytest.skip(f"no case files: expected {folder}")
    with Image.open(folder / "00_reference.png") as image:
        wanted = np.asarray(image.convert("RGB")).astype(int)
    found, outcome = read((folder / f"icc_{name}").read_bytes())
    assert outcome == CONVERTED
    assert np.abs(found - wanted).mean() <= most


@pytest.mark.parametrize(("mode", "profile"), [("RGB", matrix_profile(P3, SRGB_CURVE)), ("L", grey_profile(1.8))])
def test_large_picture_has_its_views_converted_as_the_whole_would_be(tmp_path, monkeypatch, mode, profile):
    y, x = np.mgrid[:1100, :1200] / 1200
    colours = np.stack([60 + 150 * x, 40 + 160 * y, 128 + 60 * np.sin(7 * x + 5 * y)], -1).astype(np.uint8)
    Image.fromarray(colours).convert(mode).save(tmp_path / "a.png", icc_profile=profile)
    cutter = Cutter(Dataset("folder", tmp_path, ("a.png",)), ViewPlan(augs=2), 0)
    large = cutter(0)
    monkeypatch.setattr("amnet_common.images.colours.WHOLE", 10**9)
    whole = cutter(0)
    assert large.profile == whole.profile == CONVERTED
    difference = np.abs(large.pixels.astype(int) - whole.pixels.astype(int))  # of rounding before and after a resize
    assert (difference.mean() < 0.5, difference.max() <= 6) == (True, True)
    assert np.abs(read((tmp_path / "a.png").read_bytes())[0] - colours_as_they_are(tmp_path)).mean() > 3


def colours_as_they_are(folder) -> np.ndarray:
    with Image.open(folder / "a.png") as image:
        return np.asarray(image.convert("RGB")).astype(int)
