"""How far people agree: images ranked by one half of them, and by the other, for many random halves (pure).

Isola et al. 2011 and Khosla et al. 2015 report it so, of 25 halves. What it means for a prediction follows from it.
"""

import math
from dataclasses import dataclass

import numpy as np

from amnet_common.seeds import keyed_philox

HALVES = 25


@dataclass(frozen=True)
class Consistency:
    """Hold the Spearman correlations of random halves of the observers."""

    rhos: np.ndarray  # (H,) NaN where it is not defined: fewer than 2 images, or all of one score
    images: int  # that both halves had a score for, in the halves with the fewest

    @property
    def mean(self) -> float:
        """Return the mean over the halves where it is defined; NaN if it never is."""
        known = self.rhos[~np.isnan(self.rhos)]
        return float(known.mean()) if len(known) else math.nan

    @property
    def spread(self) -> float:
        """Return the standard deviation over the halves; NaN of fewer than 2."""
        known = self.rhos[~np.isnan(self.rhos)]
        return float(known.std(ddof=1)) if len(known) > 1 else math.nan

    @property
    def reliability(self) -> float:
        """Return the reliability of all observers together, by Spearman and Brown; NaN where rho is -1 or none."""
        return spearman_brown(self.mean) if self.mean > -1 else math.nan

    @property
    def ceiling(self) -> float:
        """Return the noise ceiling; NaN where halves disagree (rho below 0)."""
        return noise_ceiling(self.mean) if self.mean >= 0 else math.nan


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


def first_half(people: int, number: int, seed: int) -> np.ndarray:
    """Draw the first of two halves of people, (people,) bool; an odd one is in the second."""
    order = np.random.Generator(keyed_philox("halves", seed, number)).permutation(people)
    is_first = np.zeros(people, bool)
    is_first[order[: people // 2]] = True
    return is_first


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Spearman correlation of (n,) with (n,), with average ranks; NaN if a side is constant or n below 2."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    from scipy.stats import rankdata  # takes a second to import

    x, y = (rankdata(side) - (len(side) + 1) / 2 for side in (a, b))
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))
