"""Attention as pictures (section 4.4): the weights of a step, scaled to [0, 255] and resized smoothly; and a view's map
mapped back to where the view was cut from its image.

Letters: L locations (14 x 14), H and W pixels.
"""

import math

import numpy as np
from PIL import Image


def scaled(attention: np.ndarray) -> np.ndarray:
    """Scale softmax weights (L,) from their lowest to their highest as 0 to 255; gives (L,) uint8."""
    low, high = float(attention.min()), float(attention.max())
    return np.rint(255 * (attention - low) / max(high - low, 1e-12)).astype(np.uint8)


def heat_map(attention: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize the scaled weights (L,) of a square grid smoothly; gives (H, W) uint8."""
    side = math.isqrt(len(attention))
    grid = Image.fromarray(scaled(attention).reshape(side, side))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def on_image(attention: np.ndarray, box: np.ndarray, width: int, height: int) -> np.ndarray:
    """Draw the heat map where the view was cut from an image of W x H pixels: (H, W) float32, 0 to 1; NaN around it.

    `box` (5,) of /views: top, left, height, width in pixels, and whether the view was flipped, which is undone.
    """
    top, left, bottom, right, flip = corners(box)
    heat = heat_map(attention, max(right - left, 1), max(bottom - top, 1)) / np.float32(255)
    canvas = np.full((height, width), np.nan, np.float32)
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    seen = heat[:, ::-1] if flip else heat
    canvas[rows, columns] = seen[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return canvas


def corners(box: np.ndarray) -> tuple[int, int, int, int, bool]:
    """Return top, left, bottom, right in whole pixels, and flip, of a box (5,) of /views."""
    top, left, height, width, flip = (float(value) for value in box)
    return round(top), round(left), round(top + height), round(left + width), bool(flip)
