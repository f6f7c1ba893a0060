"""How reliable a mean over all observers is, from the correlation of two halves of them (pure)."""

import math


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
