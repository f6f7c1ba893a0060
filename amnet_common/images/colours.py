"""Colours to sRGB: what the pixel values mean stands in the profile that a file embeds.

Without it the same picture has other colours in Display P3 (telephones), Adobe RGB (cameras) and CMYK (presses). A
picture without a profile is taken for sRGB, and one with an sRGB profile keeps its pixels bit by bit.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

AS_IT_IS, CONVERTED, IGNORED = "", "converted", "ignored"
MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of profiles, whatever else is ignored
WHOLE = 2**20  # pixels of a picture that is converted as a whole: eleven views are half as many
KEPT = 16  # transforms, each of some milliseconds to build; a library has a handful of profiles
SAME, NAMED_SAME = 3, 16  # of 255: an sRGB profile's rounding; what one that calls itself sRGB may differ


@dataclass(frozen=True)
class Conversion:
    """Hold what turns the pixels of one profile into sRGB; None: they are sRGB, or the profile is of no use."""

    mode: str  # of the pixels that it is for
    outcome: str
    transform: ImageCms.ImageCmsTransform | None = None


@lru_cache(KEPT)
def conversion(profile: bytes) -> Conversion:
    """Return how pixels of an ICC profile become sRGB; one that is damaged or of no picture's kind is ignored."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = MODES[opened.profile.xcolor_space]
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        slack = NAMED_SAME if "srgb" in (opened.profile.profile_description or "").lower() else SAME
        return Conversion(mode, AS_IT_IS) if _keeps(transform, mode, slack) else Conversion(mode, CONVERTED, transform)
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):  # what LittleCMS finds in damaged bytes
        return Conversion("", IGNORED)


def _keeps(transform: ImageCms.ImageCmsTransform, mode: str, slack: int) -> bool:
    """Whether a transform leaves all colours where they are, but for rounding; names say little."""
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    if mode == "L":
        colours = np.repeat(np.arange(256).astype(np.uint8)[None, :, None], 3, axis=-1)
    image = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    found = np.asarray(ImageCms.applyTransform(image, transform), np.int16)
    return int(np.abs(found - colours).max()) <= slack


@dataclass(frozen=True)
class Coloured:
    """Hold a picture of at most 8 bits, and what of its profile is still to be applied to it, or to views cut of it."""

    image: Image.Image
    outcome: str = AS_IT_IS
    transform: ImageCms.ImageCmsTransform | None = None  # from the picture's mode to sRGB; None: nothing is left

    def srgb(self, view: Image.Image) -> Image.Image:
        """Return the picture, or a view of it, in sRGB."""
        return view if self.transform is None else _applied(view, self.transform)


def coloured(image: Image.Image, profile: bytes | None) -> Coloured:
    """Return a picture of at most 8 bits with its colours in sRGB, and what came of its profile; None: it has none.

    Transparency stays. A profile that does not fit the picture (of greys, in a colour picture) is ignored. That of an
    opaque picture of more than WHOLE pixels is left for its views: these are far fewer pixels.
    """
    found = conversion(profile) if profile is not None else Conversion("", AS_IT_IS)
    if found.transform is None:
        return Coloured(image, found.outcome)
    if found.mode != (plain := _plain_mode(image)) and (found.mode, plain) != ("RGB", "L"):
        return Coloured(image, IGNORED)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        colours = _applied(image.convert(found.mode), found.transform)
        colours.putalpha(image.getchannel("A"))
        return Coloured(colours, CONVERTED)
    image = image if image.mode == found.mode else image.convert(found.mode)
    if image.width * image.height > WHOLE:
        return Coloured(image, CONVERTED, found.transform)
    return Coloured(_applied(image, found.transform), CONVERTED)


def _plain_mode(image: Image.Image) -> str:
    """The mode of a picture's colours, without transparency and palette."""
    if image.mode in {"1", "L", "LA", "La"}:
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None
    return result
