"""How far raters agree: the mean ratings of random halves of them against each other (pure)."""

import numpy as np

from amnet_common.agreement import HALVES, Consistency, first_half, rank_correlation

LEAST_RATERS = 4
LEAST_IMAGES = 3  # rated in both halves


def consistency(
    images: np.ndarray, raters: np.ndarray, ratings: np.ndarray, halves: int = HALVES, seed: int = 0
) -> Consistency | None:
    """Compute the agreement of random halves of the raters; None for too few raters, or images that both halves rate.

    `images` (n,) and `raters` (n,) int64 are numbers from 0; `ratings` (n,) float64, NaN for none.
    """
    known = ~np.isnan(ratings)
    images, ratings = images[known], ratings[known]
    present, raters = np.unique(raters[known], return_inverse=True)
    if len(present) < LEAST_RATERS:
        return None
    rhos, least = np.full(halves, np.nan), len(images)
    for number in range(halves):
        first = first_half(len(present), number, seed)[raters]
        a, b = (_means(images[side], ratings[side], images.max() + 1) for side in (first, ~first))
        both = ~np.isnan(a) & ~np.isnan(b)
        least = min(least, int(both.sum()))
        rhos[number] = rank_correlation(a[both], b[both])
    found = Consistency(rhos, least)
    return None if least < LEAST_IMAGES or np.isnan(found.reliability) else found


def _means(images: np.ndarray, ratings: np.ndarray, count: int) -> np.ndarray:
    """(count,) mean rating of each image, NaN for none."""
    times = np.bincount(images, minlength=count)
    total = np.bincount(images, ratings, minlength=count)
    return np.divide(total, times, out=np.full(count, np.nan), where=times > 0)
