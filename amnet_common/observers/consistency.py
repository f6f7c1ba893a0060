"""How far observers agree: the images ranked by one half of them, and by the other, for many random halves."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from amnet_common.observers.measures import Counts
from amnet_common.observers.reliability import noise_ceiling, spearman_brown
from amnet_common.observers.trials import Trials
from amnet_common.seeds import keyed_philox


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


def split_half(
    trials: Trials, measure: Callable[[Counts], np.ndarray], halves: int, seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> Consistency:  # fmt: skip
    """Compare images by `measure` in random halves of the observers, so many times; `advance` is called after each.

    An odd observer is in the second half. Which observers are together depends on their names, the seed and the number
    of the half alone.
    """
    rhos, images = np.full(halves, np.nan), len(trials.ids)
    whole, people = trials.counts(), len(trials.observers)
    for number in range(halves):
        order = np.random.Generator(keyed_philox("halves", seed, number)).permutation(people)
        is_first = np.zeros(people, bool)
        is_first[order[: people // 2]] = True
        first = trials.counts(is_first[trials.observer])
        second = Counts(*(all_ - some for all_, some in zip(whole, first, strict=True)))
        a, b = measure(first), measure(second)
        both = ~np.isnan(a) & ~np.isnan(b)
        rhos[number], images = rank_correlation(a[both], b[both]), min(images, int(both.sum()))
        advance()
    return Consistency(rhos, images)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Spearman correlation of (n,) with (n,), with average ranks; NaN if a side is constant or n below 2."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    x, y = (rankdata(side) - (len(side) + 1) / 2 for side in (a, b))
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))
