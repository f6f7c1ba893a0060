"""Whether two pictures are one: a perceptual hash that another encoding, size or colour leaves nearly as it is."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 16  # the hash has SIDE x SIDE bits
MOST_BITS = 10  # that differ between two encodings of a picture; unlike photographs differ in 20 and more of 256
LEAST_BITS = 16  # of either value: a picture with fewer has no looks to be compared
BLOCK = 2048  # hashes compared at a time with all others


def difference_hash(image: Image.Image) -> np.ndarray:
    """Compute the difference hash of a picture, (256,) bool: whether each cell is brighter than its left neighbour.

    Krawetz, "Kind of like that" (2013), on 17 x 16 cells.
    """
    small = image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS)
    cells = np.asarray(small, np.int16)
    return (cells[:, 1:] > cells[:, :-1]).ravel()


def alike(hashes: np.ndarray, most: int = MOST_BITS) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of hashes (n, bits) bool that differ in at most `most` bits, i < j, with that number.

    Hashes of nearly one value, as of an empty picture, say nothing and are passed over.
    """
    told = hashes.sum(1)
    tell = np.flatnonzero((told >= LEAST_BITS) & (told <= hashes.shape[1] - LEAST_BITS))  # (k,)
    bits = hashes[tell].astype(np.float32)  # (k, 256); a matrix product counts faster than bits do
    ones = bits.sum(1)
    for start in range(0, len(bits), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(bits)))
        unlike = ones[rows, None] + ones - 2 * bits[rows] @ bits.T  # (block, k)
        later = np.arange(len(bits)) > rows[:, None]
        for i, j in np.argwhere((unlike <= most) & later):
            yield int(tell[start + i]), int(tell[j]), round(float(unlike[i, j]))
