"""Files of every kind to 8-bit RGB."""

import io

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb, picture_of
from amnet_common.images.bounds import ignored_pillow_warnings
from amnet_common.images.colour_codes import PRIMARIES
from amnet_common.images.deep import deep_to_grey
from amnet_common.images.matrix_profile import SRGB_CURVE, matrix_profile

COLOURS = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(10, 20, 30), (200, 100, 0), (255, 255, 255)]], np.uint8)
GREYS = np.array([[0, 1, 128], [200, 254, 255]], np.uint8)


def decoded(image: Image.Image, kind: str = "PNG", **options) -> np.ndarray:
    data = io.BytesIO()
    image.save(data, kind, **options)
    result = decode_rgb(data.getvalue())
    assert result.mode == "RGB"
    return np.asarray(result)


def grey(values) -> np.ndarray:
    return np.repeat(np.asarray(values)[..., None], 3, axis=-1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_colours_come_through_unchanged(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOURS), kind, **options), COLOURS)


def turned(options):
    exif = Image.Exif()
    exif[0x0112] = 6
    return {**options, "exif": exif}


@pytest.mark.parametrize(("image", "kind", "options"), [
    (Image.fromarray(COLOURS), "JPEG", turned({})),
    (Image.fromarray(COLOURS), "PNG", {"icc_profile": matrix_profile(PRIMARIES[12], SRGB_CURVE)}),
    (Image.fromarray(COLOURS).convert("CMYK"), "JPEG", {}),
    (Image.fromarray(COLOURS).convert("P"), "GIF", {}),
    (Image.fromarray(np.dstack([COLOURS, GREYS])), "PNG", turned({})),
    (Image.fromarray(GREYS.astype(np.uint16) * 200), "PNG", {}),
    (Image.fromarray(GREYS.astype(np.float32) / 255), "TIFF", {}),
], ids=["turned", "profile", "CMYK", "palette", "transparent", "16 bits", "floats"])  # fmt: skip
def test_a_picture_in_memory_is_taken_as_its_file_is(image, kind, options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    opened = Image.open(data)
    found = picture_of(opened)
    wanted = decode_rgb(data.getvalue())
    np.testing.assert_array_equal(np.asarray(found.srgb(found.image)), np.asarray(wanted))
    assert (found.width, found.height) == wanted.size
    again = picture_of(opened)  # it has not been changed
    np.testing.assert_array_equal(np.asarray(again.srgb(again.image)), np.asarray(wanted))


def test_a_picture_in_memory_that_cannot_be_decoded_is_named():
    data = io.BytesIO()
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(data, "JPEG")
    with pytest.raises(ImageError, match="cannot be decoded: image file is truncated"):
        picture_of(Image.open(io.BytesIO(data.getvalue()[:-200])))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(orientation, kind):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # white in the upper left quarter alone: every orientation is told apart
    # how a camera stores the upright picture, by the EXIF standard's table of rows and columns
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
              6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, 3)}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(Image.fromarray(np.ascontiguousarray(stored[orientation])), kind, exif=exif.tobytes())
    np.testing.assert_allclose(found, upright, atol=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01\0\0\0\0"])
def test_damaged_metadata_leave_the_picture_as_it_lies(kind, exif):
    with ignored_pillow_warnings():
        assert decoded(Image.new("RGB", (8, 4), (255, 255, 255)), kind, exif=exif).min() == 255


def test_grey_is_repeated_over_the_colours():
    np.testing.assert_array_equal(decoded(Image.fromarray(GREYS)), grey(GREYS))


def test_black_and_white_is_0_and_255():
    np.testing.assert_array_equal(decoded(Image.fromarray(GREYS).convert("1", dither=0)), grey((GREYS > 127) * 255))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_over_white(mode):
    pixels = np.array([[(100, 255), (100, 0), (100, 51)]], np.uint8)
    if mode == "RGBA":
        pixels = pixels[..., [0, 0, 0, 1]]
    np.testing.assert_allclose(decoded(Image.fromarray(pixels, mode)), grey([[100, 255, 224]]), atol=1)


def test_palette_shows_its_colours():
    image = Image.fromarray(COLOURS).quantize(6)
    np.testing.assert_array_equal(decoded(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("kind", "transparency"), [("PNG", 0), ("PNG", bytes([0, 255])), ("GIF", 0)])
def test_transparent_palette_entries_are_white(kind, transparency):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([9, 9, 9, 50, 60, 70])
    assert decoded(image, kind, transparency=transparency).tolist() == [[[255] * 3, [50, 60, 70]]]


def test_cmyk_jpeg_has_the_colours_that_pillow_converts_to():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(decoded(image, "JPEG", quality=95)[8, 8], [255, 0, 0], atol=6)


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_sixteen_bits_are_scaled_and_not_cut_off(kind, dtype):
    values = np.array([[0, 257, 128 * 257], [200 * 257, 65534, 65535]], dtype)
    np.testing.assert_array_equal(decoded(Image.fromarray(values), kind), grey([[0, 1, 128], [200, 255, 255]]))


def test_dark_sixteen_bit_picture_stays_dark():
    assert decoded(Image.fromarray(np.full((2, 2), 255, np.uint16))).max() == 1


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_picture_is_scaled_from_its_usual_range(top):
    values = np.array([[0, 0.5, 1]], np.float32) * np.float32(top)
    np.testing.assert_array_equal(decoded(Image.fromarray(values), "TIFF"), grey([[0, 128, 255]]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "negative or not finite"),
        (np.nan, "negative or not finite"),
        (np.inf, "negative or not"),
        (1e20, "up to 1e\\+20"),
    ],
)
def test_float_pictures_without_a_usual_range_are_refused(value, message):
    with pytest.raises(ImageError, match=message):
        deep_to_grey(Image.fromarray(np.array([[0, value]], np.float32)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_shows_its_first_frame(kind):
    frames = [Image.new("RGB", (12, 12), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(found, np.asarray(frames[0]))


@pytest.mark.parametrize("size", [(1, 1), (3000, 3), (3, 3000)])
def test_smallest_and_longest_pictures_are_read(size):
    assert decoded(Image.new("RGB", size, (1, 2, 3))).shape == (size[1], size[0], 3)
