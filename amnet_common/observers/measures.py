"""What n images were remembered by, from how often each was (pure).

An image is shown again (a repeat: said to have been seen, a hit; else a miss), or for the first time (a foil: said to
have been seen, a false alarm; else a rejection).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri


class Counts(NamedTuple):
    """Hold how often each image had each outcome, (n,) int64."""

    hits: np.ndarray
    misses: np.ndarray
    false_alarms: np.ndarray
    rejections: np.ndarray


def hit_rate(counts: Counts) -> np.ndarray:
    """Return hits / repeats (n,), which LaMem and SUN have as score; NaN where there was no repeat."""
    return _share(counts.hits, counts.misses)


def false_alarm_rate(counts: Counts) -> np.ndarray:
    """Return false alarms / foils (n,); NaN where there was no foil."""
    return _share(counts.false_alarms, counts.rejections)


def corrected(counts: Counts) -> np.ndarray:
    """Return hit rate - false alarm rate (n,), the corrected recognition; NaN where one is not defined."""
    return hit_rate(counts) - false_alarm_rate(counts)


def d_prime(counts: Counts) -> np.ndarray:
    """Return d' (n,) = z(hit rate) - z(false alarm rate), z the inverse of the normal distribution.

    The rates are log-linear, (hits + 1/2) / (repeats + 1) and so on, which keeps them off 0 and 1 (Hautus 1995). NaN
    where there was no repeat or no foil.
    """
    hits, false_alarms = _loglinear(counts.hits, counts.misses), _loglinear(counts.false_alarms, counts.rejections)
    return ndtri(hits) - ndtri(false_alarms)


def _share(yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    total = yes + no
    return np.divide(yes, total, out=np.full(len(total), np.nan), where=total > 0)


def _loglinear(yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    total = yes + no
    return np.where(total > 0, (yes + 0.5) / (total + 1), np.nan)


MEASURES: Mapping[str, Callable[[Counts], np.ndarray]] = {
    "hit-rate": hit_rate,
    "d-prime": d_prime,
    "corrected": corrected,
}
