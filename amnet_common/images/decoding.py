"""The bytes of an image file to an upright sRGB image of 8 bits, or one line that says why not."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image, ImageFile, UnidentifiedImageError

from amnet_common.errors import ImageError
from amnet_common.images.bounds import (
    PILLOW_LIMIT,
    Limits,
    allowed_bytes,
    decoding_bytes,
    draft_scale,
    pillow_limit_lifted,
    refuse_endless,
)
from amnet_common.images.budget import Budget
from amnet_common.images.colours import Coloured, coloured
from amnet_common.images.deep import deep_to_grey, is_deep
from amnet_common.images.formats import open_image
from amnet_common.images.heif import heif_profile
from amnet_common.images.jpeg_end import with_end
from amnet_common.images.orientation import SIDEWAYS, orientation, upright
from amnet_common.images.png_colours import png_profile
from amnet_common.images.png_text import without_texts

WHITE = (255, 255, 255)
NEED_NO_COPY = {"JPEG", "MPO", None}  # formats whose open picture holds nothing of its decoder; None: a new image
STRIP_PIXELS = 2**22  # laid over white at a time: the copies of a larger picture would be gigabytes


@dataclass(frozen=True)
class Picture:
    """Hold a decoded picture, upright; width and height are those of the file, of which a draft is a fraction."""

    image: Image.Image  # of the colours of its profile, mode RGB, L or CMYK, where `srgb` has something left to do
    width: int  # pixels
    height: int
    profile: str  # what came of its colour profile: colours.AS_IT_IS, CONVERTED, IGNORED
    srgb: Callable[[Image.Image], Image.Image]  # of the picture, or of views cut of it: mode RGB, sRGB


@contextlib.contextmanager
def decoded(data: bytes, limits: Limits, budget: Budget) -> Iterator[Picture]:
    """Decode the first frame of an image file's bytes, upright (EXIF orientation).

    The picture's share of `budget` is held within the context, and waited for. Raises ImageError with the reason if it
    cannot be decoded.
    """
    with contextlib.ExitStack() as held:
        with reasons():
            picture = _decoded(data, limits, budget, held)
        yield picture


def picture_of(image: Image.Image) -> Picture:
    """Take a Pillow image as if it came from a file: upright, its colours by the profile that it carries.

    What a PNG says in `cICP` Pillow does not keep. Raises ImageError with the reason if it cannot be decoded.
    """
    with reasons():
        image.load()
        shallow = deep_to_grey(image) if is_deep(image) else image
        found = coloured(shallow, embedded_profile(image, b""))
        number = orientation(image)
        plain = found if found.transform else replace(found, image=opaque(found.image))
        return _turned(plain, image.size, number)


def decode_rgb(data: bytes) -> Image.Image:
    """Decode the first frame of an image file's bytes, upright (EXIF orientation), as mode RGB.

    Raises ImageError with the reason if that cannot be done.
    """
    limits = Limits()
    with decoded(data, limits, Budget(limits.decoding_bytes)) as picture:
        return picture.srgb(picture.image)


@contextlib.contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever Pillow raises within the context into an ImageError that says why a picture cannot be decoded."""
    try:
        yield
    except ImageError:
        raise
    # Pillow's decoders raise whatever their parsers meet on damaged bytes (struct.error, SyntaxError, KeyError ...)
    except Exception as error:
        raise ImageError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def _decoded(data: bytes, limits: Limits, budget: Budget, held: contextlib.ExitStack) -> Picture:
    """A picture, by a second attempt where only metadata or the end marker are at fault."""
    try:
        return _turned(*_decode(data, limits, budget, held))
    except Exception as error:
        if isinstance(error, ImageError) and not isinstance(error.__cause__, UnidentifiedImageError):
            raise  # a limit, not damage
        held.close()  # or the second attempt would wait for the share of the first
        whole, profile = _mended(data, budget)
        if whole is None:
            raise
    return _turned(*_decode(whole, limits, budget, held, profile))


def _mended(data: bytes, budget: Budget) -> tuple[bytes | None, bytes | None]:
    """A file of the same picture that Pillow reads where it does not read this one, and a profile that it lacks."""
    without, profile = without_texts(data)
    if without != data:
        return without, profile
    return with_end(data, partial(_pixels_hash, budget)) if data.startswith(b"\xff\xd8") else None, None


def _pixels_hash(budget: Budget, data: bytes) -> bytes:
    with open_any_size(data) as image, budget.held(decoding_bytes(image)):
        draft(image)
        image.load()
        return hashlib.sha256(image.tobytes()).digest()


def _decode(
    data: bytes, limits: Limits, budget: Budget, held: contextlib.ExitStack, profile: bytes | None = None
) -> tuple[Coloured, tuple[int, int], int]:
    """The picture as it lies; the file's width and height; its orientation."""
    with open_any_size(data) as image:
        size = image.size
        needed = allowed_bytes(image, limits, len(data))
        refuse_endless(image, data)
        held.enter_context(budget.held(needed))
        profile = embedded_profile(image, data) if profile is None else profile
        draft(image)
        with pillow_limit_lifted() if image.width * image.height > PILLOW_LIMIT else contextlib.nullcontext():
            image.load()
        number = orientation(image)
        shallow = deep_to_grey(image) if is_deep(image) else image
        found = coloured(shallow, profile)
        return (found if found.transform else replace(found, image=opaque(found.image))), size, number


def _turned(found: Coloured, size: tuple[int, int], number: int) -> Picture:
    width, height = reversed(size) if number in SIDEWAYS else size
    turned = replace(found, image=upright(found.image, number))  # `srgb` of the one as it lay would keep both
    return Picture(turned.image, width, height, turned.outcome, turned.srgb)


def embedded_profile(image: Image.Image, data: bytes) -> bytes | None:
    """Return the colour profile of a picture that is open; empty if it is damaged, None if there is none."""
    if image.format == "PNG":
        return png_profile(data, image.info)
    if image.format == "HEIF":
        return heif_profile(image.info)
    return image.info["icc_profile"] or b"" if "icc_profile" in image.info else None


def open_any_size(data: bytes) -> ImageFile.ImageFile:
    """Open an image file's bytes as `open_image` does, however large the picture is."""
    try:
        return open_image(data)
    except Image.DecompressionBombError:
        with pillow_limit_lifted():
            return open_image(data)


def draft(image: ImageFile.ImageFile) -> None:
    """Let a JPEG that is far larger than any view needs be decoded at a fraction of its size."""
    scale = draft_scale(image)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


def opaque(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode of at most 8 bits to RGB: transparency over white."""
    if image.has_transparency_data:
        return over_white(image)
    if image.mode == "RGB" and image.format in NEED_NO_COPY:
        return image  # a copy of every photograph costs a twentieth of its decoding
    return image.convert("RGB")


def over_white(image: Image.Image) -> Image.Image:
    """Lay a picture with transparency over white, as mode RGB; a large one in strips."""
    rows = max(1, STRIP_PIXELS // image.width)
    if rows >= image.height:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(backdrop, image).convert("RGB")
    result = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        result.paste(over_white(strip), (0, top))
    return result
