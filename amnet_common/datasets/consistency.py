"""How far raters agree, as memorability papers report it: halves of them against each other (pure).

Letters: n ratings, N images, R raters.
"""

import math
from dataclasses import dataclass

import numpy as np

HALVINGS = 25  # Isola et al. 2011, Khosla et al. 2015
LEAST_RATERS = 4
LEAST_IMAGES = 3  # rated in both halves


@dataclass(frozen=True)
class Consistency:
    """Hold the agreement of raters. Raises nothing; `halves` is not NaN."""

    raters: int
    images: float  # rated in both halves, mean over the halvings
    halves: float  # Spearman's rank correlation of the halves' means, mean over the halvings

    @property
    def reliability(self) -> float:
        """Return the reliability of the mean over all raters (Spearman-Brown)."""
        return spearman_brown(self.halves)

    @property
    def ceiling(self) -> float:
        """Return the noise ceiling: what a perfect prediction can be expected to correlate with the mean ratings."""
        return noise_ceiling(self.halves) if self.halves > 0 else math.nan


def spearman_brown(halves: float) -> float:
    """Compute the reliability of the mean over all observers from the correlation of two halves: 2 r / (1 + r).

    Spearman (1910) and Brown (1910); of rank correlations it is an approximation.
    """
    return 2 * halves / (1 + halves)


def noise_ceiling(halves: float) -> float:
    """Compute the correlation with all observers' mean that a perfect prediction can be expected to have:
    the square root of its reliability.
    """
    return math.sqrt(spearman_brown(halves))


def consistency(
    images: np.ndarray, raters: np.ndarray, ratings: np.ndarray, halvings: int = HALVINGS, seed: int = 0
) -> Consistency | None:
    """Compute the agreement of random halves of the raters; None for too few raters, or images that both halves rate.

    `images` (n,) and `raters` (n,) int64 are numbers from 0; `ratings` (n,) float64, NaN for none. The halves have
    equally many raters, or one has one more.
    """
    known = ~np.isnan(ratings)
    images, ratings = images[known], ratings[known]
    present, raters = np.unique(raters[known], return_inverse=True)
    if len(present) < LEAST_RATERS:
        return None
    random = np.random.default_rng(seed)
    found, sizes = [], []
    for _ in range(halvings):
        first = random.permutation(len(present)) < len(present) // 2  # (R,)
        sides = [_means(images[chosen], ratings[chosen], images.max() + 1) for chosen in _both(first[raters])]
        rated = ~np.isnan(sides[0]) & ~np.isnan(sides[1])
        if rated.sum() >= LEAST_IMAGES:
            found.append(rank_correlation(sides[0][rated], sides[1][rated]))
            sizes.append(rated.sum())
    if not found or np.isnan(found).any():
        return None
    return Consistency(len(present), float(np.mean(sizes)), float(np.mean(found)))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Spearman's rank correlation of (n,) with (n,), average ranks for ties; NaN if a side is constant."""
    x, y = (ranks - ranks.mean() for ranks in map(average_ranks, (a, b)))
    scale = math.sqrt((x @ x) * (y @ y))
    return float(x @ y) / scale if scale else math.nan


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Compute the ranks (n,) float64 from 1; equal values share the mean of theirs."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[place]


def _both(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return chosen, ~chosen


def _means(images: np.ndarray, ratings: np.ndarray, count: int) -> np.ndarray:
    """(count,) mean rating of each image, NaN for none."""
    times = np.bincount(images, minlength=count)
    total = np.bincount(images, ratings, minlength=count)
    return np.divide(total, times, out=np.full(count, np.nan), where=times > 0)
