"""Deep greys (16 and 32 bits, floats) to 8 bits. Which value is white stands in the file, or follows from its values.

A file says how its samples are stored, rarely how bright they are meant. What cannot be known is refused: a picture
that is scaled by a wrong white is black, and nobody sees it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, TiffImagePlugin

from amnet_common.errors import ImageError

WHITE_IS_ZERO, SIGNED, FLOATS = 0, 2, 3  # of TIFF's PhotometricInterpretation and SampleFormat
MIN_SAMPLE_VALUE, MAX_SAMPLE_VALUE, SMIN_SAMPLE_VALUE, SMAX_SAMPLE_VALUE = 280, 281, 340, 341  # TIFF tags
INTEGER_WHITES = (2.0**8 - 1, 2.0**16 - 1, 2.0**24 - 1, 2.0**31 - 1, 2.0**32 - 1)
FLOAT_WHITES = (1.0, *INTEGER_WHITES)
OVERSHOOT = 0.25  # of white: sharpening and resampling take floats that far above white and below black
DIMMEST = 0.1  # of white: a picture whose brightest value is darker may as well have another white
STRIP_PIXELS = 2**22  # scaled at a time: float64 copies of a whole picture of 200 megapixels are 5 GB


@dataclass(frozen=True)
class Samples:
    """Describe how the samples of a deep grey picture are stored, as its file says."""

    bits: int
    signed: bool = False
    floats: bool = False
    inverted: bool = False  # white is zero
    declared: tuple[float, float] | None = None  # black and white, where the file names them

    @property
    def wide(self) -> bool:
        """Tell whether the type leaves the range open: 32 bits hold pictures of 8, 16, 24 and 32."""
        return self.floats or self.bits > 16


def deep_to_grey(image: Image.Image) -> Image.Image:
    """Scale a deep grey picture to 8 bits, mode L; it must be as its file gave it, which knows its range.

    Raises ImageError for values that are negative, not finite or of a range that cannot be known.
    """
    samples = samples_of(image)
    extremes = [(values.min(), values.max()) for _, values in _strips(image, samples)]
    lows, highs = zip(*extremes, strict=True)
    black, white = choose_range(samples, float(np.min(lows)), float(np.max(highs)))
    grey = np.empty((image.height, image.width), np.uint8)
    for top, values in _strips(image, samples):
        scaled = np.rint((values - black) * (255.0 / (white - black)))
        grey[top : top + len(values)] = np.clip(scaled, 0, 255)
    return Image.fromarray(255 - grey if samples.inverted else grey)


def is_deep(image: Image.Image) -> bool:
    """Tell whether a picture has greys that are to be scaled: more than 8 bits, or 8 bits with a sign."""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    return image.mode == "L" and isinstance(image, TiffImagePlugin.TiffImageFile) and _tiff_samples(image).signed


def samples_of(image: Image.Image) -> Samples:
    """Describe the samples of a deep grey picture: its mode says the type, a TIFF file's tags the rest."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _tiff_samples(image)
    if image.mode == "F":
        return Samples(32, floats=True)
    return Samples(32 if image.mode == "I" and image.format is None else 16)  # Pillow scales PPM to 16 bits


def _tiff_samples(image: TiffImagePlugin.TiffImageFile) -> Samples:
    tags = image.tag_v2
    bits, kind = (_first(tags.get(tag, 1)) for tag in (TiffImagePlugin.BITSPERSAMPLE, TiffImagePlugin.SAMPLEFORMAT))
    photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)
    return Samples(
        int(bits), kind == SIGNED, kind == FLOATS, photometric == WHITE_IS_ZERO and int(bits) > 8, _declared(tags)
    )


def _declared(tags: TiffImagePlugin.ImageFileDirectory_v2) -> tuple[float, float] | None:
    lowest, highest = tags.get(SMIN_SAMPLE_VALUE), tags.get(SMAX_SAMPLE_VALUE)
    if highest is None:
        lowest, highest = tags.get(MIN_SAMPLE_VALUE), tags.get(MAX_SAMPLE_VALUE)
    return None if highest is None else (float(_first(lowest or 0)), float(_first(highest)))


def _first(value: object) -> float:
    return float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]


def choose_range(samples: Samples, low: float, high: float) -> tuple[float, float]:
    """Return black and white of a picture with values from `low` to `high`.

    Raises ImageError where they cannot be known.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("pixel values that are negative or not finite")
    if samples.signed and samples.declared == (-(2.0 ** (samples.bits - 1)), 2.0 ** (samples.bits - 1) - 1):
        return samples.declared
    white = _white(samples, high)
    if low < (-OVERSHOOT * white if samples.floats else 0):
        raise ImageError("pixel values that are negative or not finite")
    return 0.0, white


def _white(samples: Samples, high: float) -> float:
    above = 1 + OVERSHOOT if samples.floats else 1.0
    declared = samples.declared[1] if samples.declared else 0.0
    if _is_usual(declared, samples) and high <= above * declared:
        return declared
    if not samples.wide:
        return 2.0 ** (samples.bits - samples.signed) - 1  # a dark 16-bit picture is still a 16-bit picture
    for white in FLOAT_WHITES if samples.floats else INTEGER_WHITES:
        if (high >= DIMMEST * white or white == 1 or high <= 0) and high <= above * white:
            return white
    kind = "floats" if samples.floats else "integers"
    raise ImageError(f"pixel values up to {high:g} in {samples.bits}-bit {kind}: no usual range, so that white cannot "
                     "be known; save the picture with 8 or 16 bits")  # fmt: skip


def _is_usual(white: float, samples: Samples) -> bool:
    """Whether a declared maximum is a white. Many writers name the largest value there is, which means nothing."""
    return white in FLOAT_WHITES if samples.floats else white > 0 and (white + 1) == 2.0 ** round(np.log2(white + 1))


def _strips(image: Image.Image, samples: Samples) -> Iterator[tuple[int, np.ndarray]]:
    """Top and values, (h, W) float64, of some rows after the other."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        yield top, _as_stored(np.asarray(strip), samples).astype(np.float64)


def _as_stored(values: np.ndarray, samples: Samples) -> np.ndarray:
    """Pillow's types to those of the file, where it has none of the kind: int8 and uint32."""
    if samples.bits == 8 and samples.signed:
        return values.view(np.int8)
    return values.view(np.uint32) if samples.bits == 32 and values.dtype == np.int32 and not samples.signed else values
