"""What a picture may cost: pixels, bytes while it is decoded, scans; known from its header, before it is decoded.

A file of 34 bytes can say that it holds 178 megapixels, and be right.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from amnet_common.errors import ConfigError, ImageError

MEGA = 10**6
PILLOW_LIMIT = 178_956_970  # pixels; twice the default of Image.MAX_IMAGE_PIXELS
DRAFT_FROM = PILLOW_LIMIT  # pictures below it were always decoded whole, and still are
DRAFT_SIDE = 2048  # pixels that a draft's short side keeps at least; the smallest crop then has twice the 224 it needs
MOST_SCANS = 100  # of a JPEG; progressive encoders make some ten
MOST_SCANNED = 2**32  # scans times pixels: each scan goes over the whole picture
TILE_LENGTH, TILE_OFFSETS = 323, 324  # TIFF tags
LEAST_BYTES = 2**31  # for decoding, however few pixels are allowed
RESULT_BYTES = 4  # a pixel of an RGB image in Pillow
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # a pixel; other modes 4
DECODER_BYTES = {"WEBP": 12, "AVIF": 14, "HEIF": 14, "JPEG2000": 16, "GIF": 2}  # a pixel, beside Pillow's image
BOMB_FROM = 64 * MEGA  # pixels of a picture that is compared with its file: a blank one of usual size harms nobody
MOST_PACKED = 500  # times smaller than its pixels is a file that shows anything; zlib packs one colour 1000 times
RAW_BYTES = {"1": 1 / 8, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "LA": 2, "RGBA": 4, "CMYK": 4, "I": 4, "F": 4}
COEFFICIENT_BYTES = 6  # a pixel of the whole picture, draft or not: of several scans libjpeg keeps all coefficients
START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True)
class Limits:
    """Hold how large a picture may be, and with that how much memory decoding may take. Raises ConfigError."""

    max_megapixels: float = 256.0  # the sensors of today's telephones end at 200

    def __post_init__(self) -> None:
        if not 0 < self.max_megapixels < 2**16:
            raise ConfigError(f"--max-megapixels: expected a number above 0, found {self.max_megapixels:g}")

    @property
    def decoding_bytes(self) -> int:
        """Return how many bytes all large pictures together may take: the largest RGB picture and a turned copy."""
        return max(LEAST_BYTES, int(self.max_megapixels * MEGA) * 2 * RESULT_BYTES)


def allowed_bytes(image: ImageFile.ImageFile, limits: Limits, file_bytes: int) -> int:
    """Return how many bytes decoding takes, of a picture that is open.

    Raises ImageError if that exceeds the limits, and for a large picture in a file so small that it can show nothing.
    """
    pixels = image.width * image.height
    if pixels > limits.max_megapixels * MEGA:
        raise ImageError(f"{pixels / MEGA:.3g} megapixels ({image.width} x {image.height}), more than "
                         f"{limits.max_megapixels:g}; --max-megapixels allows larger ones")  # fmt: skip
    if pixels > BOMB_FROM and pixels * RAW_BYTES.get(image.mode, 3) > MOST_PACKED * file_bytes:
        raise ImageError(f"a decompression bomb: {file_bytes} bytes for {pixels / MEGA:.0f} megapixels, which hold "
                         "hardly more than one colour")  # fmt: skip
    needed = decoding_bytes(image)
    if needed > limits.decoding_bytes:
        raise ImageError(f"a {image.format} of {pixels / MEGA:.0f} megapixels takes {needed / 1e9:.1f} GB to decode, "
                         f"more than {limits.decoding_bytes / 1e9:.1f}; --max-megapixels {needed // (8 * MEGA) + 1} "
                         "allows it")  # fmt: skip
    return needed


def refuse_endless(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise ImageError for a JPEG of so many scans that it would take minutes: each goes over the whole picture."""
    if not (is_of_many_scans(image) or image.info.get("compression") == "jpeg"):
        return
    scans = -(-data.count(START_OF_SCAN) // tiff_blocks(image))  # each strip or tile is a JPEG of its own
    if scans > MOST_SCANS or scans * image.width * image.height > MOST_SCANNED:
        raise ImageError(f"a JPEG of {scans} scans over {image.width} x {image.height} pixels; expected at most "
                         f"{MOST_SCANS}, and fewer of a large picture")  # fmt: skip


def tiff_blocks(image: ImageFile.ImageFile) -> int:
    """Return of how many strips or tiles a TIFF consists, those at one place in the file once; 1 for other pictures."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1
    tags = image.tag_v2
    height, width = (int(tags.get(tag, 0)) for tag in (TILE_LENGTH, TiffImagePlugin.TILEWIDTH))
    height, width = (height, width) if height and width else (rows_of_a_strip(image), image.width)
    count = -(-image.height // height) * -(-image.width // width)
    offsets = tags.get(TILE_OFFSETS) or tags.get(TiffImagePlugin.STRIPOFFSETS) or (0,)
    return max(1, len(set(offsets[:count])))


def rows_of_a_strip(image: TiffImagePlugin.TiffImageFile) -> int:
    """Return the height of a strip; that of the picture where the file does not say, or says more or none."""
    return min(int(image.tag_v2.get(TiffImagePlugin.ROWSPERSTRIP, image.height)), image.height) or image.height


def is_of_many_scans(image: ImageFile.ImageFile) -> bool:
    """Tell whether an open picture is a JPEG of several scans: progressive, or with a first one of some components.

    Pillow has read until behind the header of the first scan.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.fp is None:
        return False
    length, behind = 6 + 2 * image.layers, image.fp.tell()
    image.fp.seek(max(0, behind - length))
    head = image.fp.read(3)
    image.fp.seek(behind)
    return "progressive" in image.info or head != bytes([0, length, image.layers])


def decoding_bytes(image: ImageFile.ImageFile) -> int:
    """Estimate the bytes that decoding, conversion to RGB and turning take at most at once, from the header."""
    scale = draft_scale(image)
    pixels = image.width * image.height
    stored = STORED_BYTES.get(image.mode, 4)
    steps = (image.mode != "RGB") + ("icc_profile" in image.info)
    converted = stored + steps * RESULT_BYTES
    coefficients = COEFFICIENT_BYTES * pixels if is_of_many_scans(image) else 0
    each = DECODER_BYTES.get(image.format or "", 0) + max(converted, 2 * RESULT_BYTES)
    return coefficients + tiff_block_bytes(image) + each * pixels // scale**2


def tiff_block_bytes(image: ImageFile.ImageFile) -> int:
    """Return the bytes of the largest strip or tile that libtiff unpacks at once, 0 for other pictures.

    A tile may be larger than the picture: a file says both.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.info.get("compression") == "raw":
        return 0
    tags = image.tag_v2
    height, width = (int(tags.get(tag, 0)) for tag in (TILE_LENGTH, TiffImagePlugin.TILEWIDTH))
    return max(rows_of_a_strip(image) * image.width, height * width) * STORED_BYTES.get(image.mode, 4)


def draft_scale(image: ImageFile.ImageFile) -> int:
    """Return by how much a JPEG is scaled down as it is decoded: 1 (not at all), 2, 4 or 8."""
    if image.format not in {"JPEG", "MPO"} or image.width * image.height <= DRAFT_FROM:
        return 1
    return next((scale for scale in (8, 4, 2) if min(image.size) // scale >= DRAFT_SIDE), 1)


@contextmanager
def ignored_pillow_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings of large images and odd metadata, in every thread.

    What matters of them becomes an ImageError.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


_lifting = threading.Lock()
_lifted: list[int | None] = []  # what Image.MAX_IMAGE_PIXELS was before, once for each that wants it lifted


@contextmanager
def pillow_limit_lifted() -> Iterator[None]:
    """Let Pillow open pictures of any size within the context, in every thread; `allowed_bytes` decides instead."""
    with _lifting:
        _lifted.append(Image.MAX_IMAGE_PIXELS if not _lifted else _lifted[0])
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _lifting:
            before = _lifted.pop()
            if not _lifted:
                Image.MAX_IMAGE_PIXELS = before
