"""Features of a grid as those of a coarser one: each cell the mean of what it covers, by area.

torch's adaptive pooling lets windows overlap where sizes do not divide, so that some locations count twice; here each
counts once, and the mean over all locations stays what it was. Every sum has one order, whatever is pooled beside it.
"""

from fractions import Fraction

import numpy as np


def area_shares(fine: int, coarse: int) -> list[dict[int, Fraction]]:
    """Return, for each of `coarse` cells of equal length, which of `fine` cells it covers, each with its share of it.

    The shares of a cell add up to 1. `coarse` is at most `fine`.
    """
    assert 1 <= coarse <= fine
    found = []
    for i in range(coarse):
        start, end = i * fine, (i + 1) * fine  # in units of 1 / coarse of a fine cell, each of which has `coarse`
        covered = {j: min(end, (j + 1) * coarse) - max(start, j * coarse) for j in range(fine)}
        found.append({j: Fraction(length, fine) for j, length in covered.items() if length > 0})
    return found


def pooled_to(x: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Average features x (n, h, w, D) float32 over the cells of a coarser grid (rows, columns): (n, *grid, D) float32.

    `x` itself is returned where its grid is the same.
    """
    for axis, size in ((1, grid[0]), (2, grid[1])):
        if x.shape[axis] != size:
            x = _pooled_along(x, axis, size)
    return x


def _pooled_along(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    result = np.zeros(shape, np.float32)
    cells, lines = np.moveaxis(result, axis, 0), np.moveaxis(x, axis, 0)
    for i, shares in enumerate(area_shares(x.shape[axis], size)):
        for j, share in shares.items():
            cells[i] += np.float32(share) * lines[j]
    return result
