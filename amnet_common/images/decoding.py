"""The bytes of an image file to an upright 8-bit RGB image, or one line that says why not."""

import numpy as np
from PIL import ExifTags, Image

from amnet_common.errors import ImageError
from amnet_common.images.formats import open_image

DEEP_INTEGER_TOPS = (65535.0, 2.0**31 - 1, 2.0**32 - 1)  # never 255: a dark 16-bit image is still a 16-bit image
FLOAT_TOPS = (1.0, 255.0, *DEEP_INTEGER_TOPS)
WHITE = (255, 255, 255)
TRANSPOSES = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_rgb(data: bytes) -> Image.Image:
    """Decode the first frame of an image file's bytes, upright (EXIF orientation), as mode RGB.

    Raises ImageError with the reason if that cannot be done.
    """
    try:
        with open_image(data) as image:
            image.load()
            return to_rgb(upright(image))
    except ImageError:
        raise
    # Pillow's decoders raise whatever their parsers meet on damaged bytes (struct.error, SyntaxError, KeyError ...)
    except Exception as error:
        raise ImageError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says. Damaged metadata leave a whole picture as it lies.

    Pillow's `exif_transpose` also rewrites all other metadata, and fails on what it cannot write.
    """
    try:
        method = TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation) or 1)
    except Exception:  # what a parser meets on damaged bytes, as in `decode_rgb`
        return image
    return image if method is None else image.transpose(method)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB: transparency over white, deep greys scaled to 8 bits and not cut off at 255.

    Raises ImageError for deep pixel values that are negative, not finite or beyond every known range.
    """
    if image.mode.startswith("I") or image.mode == "F":
        tops = FLOAT_TOPS if image.mode == "F" else DEEP_INTEGER_TOPS
        return Image.fromarray(_scaled_to_8_bits(np.asarray(image, dtype=np.float64), tops)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(backdrop, image).convert("RGB")
    return image.convert("RGB")


def _scaled_to_8_bits(values: np.ndarray, tops: tuple[float, ...]) -> np.ndarray:
    """(H, W) uint8 from deep integers or floats: white is the smallest of `tops` that holds every value."""
    if not np.isfinite(values).all() or values.min() < 0:
        raise ImageError("pixel values that are negative or not finite")
    white = next((top for top in tops if values.max() <= top), None)
    if white is None:
        raise ImageError(f"pixel values up to {values.max():g}: no usual range")
    return np.rint(values * (255.0 / white)).astype(np.uint8)
