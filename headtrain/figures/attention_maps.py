"""Attention as pictures (section 4.4): the weights of a step as multiples of chance, resized smoothly; and a view's map
mapped back to where the view was cut from its image.

Chance is the weight 1 / L that all locations have where a head looks everywhere alike. The scale is the same for every
map, so that a map without peaks has no bright spots. Letters: L = h w locations of a grid, H and W pixels.
"""

import math

import numpy as np
from PIL import Image

TOP = 16  # times chance: the full colour; each doubling from chance on is a quarter of the way there
ALIKE_ENTROPY = 0.99  # that of weights which differ by a third as a rule (their logarithms have a deviation of 0.32),
ALIKE_PEAK = 3  # and so no clear peak; but one location alone with more stands out, whatever the entropy
ALIKE = "looks everywhere alike"
SCALE = f"colour: from chance (1/L, the same weight everywhere) to {TOP} times chance, the same for all images"


def scaled(attention: np.ndarray) -> np.ndarray:
    """Scale softmax weights (L,) from chance or less, 1 / L, to TOP times chance or more as 0 to 255 by their
    logarithm; gives (L,) uint8.
    """
    times = np.asarray(attention, np.float64) * attention.shape[-1]
    return np.rint(255 * np.clip(np.log(np.maximum(times, 1)) / math.log(TOP), 0, 1)).astype(np.uint8)


def peak_of(attention: np.ndarray) -> float:
    """Return the highest of the weights (L,) as a multiple of chance."""
    return float(attention.max() * attention.shape[-1])


def entropy_of(attention: np.ndarray) -> float:
    """Compute -sum_L a ln a / ln L of weights (L,): 1 everywhere alike, 0 at one location."""
    a = np.asarray(attention, np.float64)
    return float(-(a * np.log(np.where(a > 0, a, 1))).sum() / math.log(a.shape[-1]))


def is_alike(attention: np.ndarray) -> bool:
    """Tell whether weights (L,) say nothing of where a head looks: nearly as even as can be, and without a peak."""
    return entropy_of(attention) > ALIKE_ENTROPY and peak_of(attention) < ALIKE_PEAK


def heat_map(attention: np.ndarray, width: int, height: int, grid: tuple[int, int] | None = None) -> np.ndarray:
    """Resize the scaled weights (L,) of a grid (h, w) smoothly; gives (H, W) uint8. `grid` None: a square one."""
    side = math.isqrt(len(attention))
    small = Image.fromarray(scaled(attention).reshape(grid or (side, side)))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def on_image(
    attention: np.ndarray, box: np.ndarray, width: int, height: int, grid: tuple[int, int] | None = None
) -> np.ndarray:
    """Draw the heat map where the view was cut from an image of W x H pixels: (H, W) float32, 0 to 1; NaN around it.

    `box` (5,) of /views: top, left, height, width in pixels, and whether the view was flipped, which is undone. `grid`
    as in `heat_map`.
    """
    top, left, bottom, right, flip = corners(box)
    heat = heat_map(attention, max(right - left, 1), max(bottom - top, 1), grid) / np.float32(255)
    canvas = np.full((height, width), np.nan, np.float32)
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    seen = heat[:, ::-1] if flip else heat
    canvas[rows, columns] = seen[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return canvas


def corners(box: np.ndarray) -> tuple[int, int, int, int, bool]:
    """Return top, left, bottom, right in whole pixels, and flip, of a box (5,) of /views."""
    top, left, height, width, flip = (float(value) for value in box)
    return round(top), round(left), round(top + height), round(left + width), bool(flip)
