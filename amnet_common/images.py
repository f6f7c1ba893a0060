"""A file to an 8-bit RGB image, read once and decoded once; or one line that says why not."""

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from amnet_common.errors import ImageError

MAX_FILE_BYTES = 2**30  # larger than any photograph; a bound on what one broken row can cost
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


@dataclass(frozen=True)
class SourceFile:
    """Hold the bytes of an image file and what tells later whether it has changed."""

    data: bytes
    sha256: bytes  # 32 bytes
    size: int  # bytes
    mtime_ns: int


def read_source(path: Path) -> SourceFile:
    """Read the whole of an image file. Raises ImageError with the reason if that cannot be done."""
    try:
        # a named pipe would block for ever on opening: O_NONBLOCK makes it answer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            info = os.fstat(file.fileno())
            _refuse_unlikely_files(info)
            data = file.read()
    except FileNotFoundError as error:
        raise ImageError("missing file") from error
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
    return SourceFile(data, hashlib.sha256(data).digest(), len(data), info.st_mtime_ns)


def _refuse_unlikely_files(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ImageError("not a regular file")
    if info.st_size == 0:
        raise ImageError("empty file (0 bytes)")
    if info.st_size > MAX_FILE_BYTES:
        raise ImageError(f"file of {info.st_size} bytes, more than {MAX_FILE_BYTES}")


def decode_rgb(data: bytes) -> Image.Image:
    """Decode the first frame of an image file's bytes, upright (EXIF orientation), as mode RGB.

    Raises ImageError with the reason if that cannot be done.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return to_rgb(upright(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("not an image that Pillow can identify") from error
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
