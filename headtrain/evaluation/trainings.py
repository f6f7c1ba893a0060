"""Whether two systems differ, each trained several times: seeds and images both vary.

The mean rho of a training over its splits is rho_s. Images are drawn as in `bootstrap`, for the mean over a side's
trainings; trainings are a sample of those that other seeds would give:

    se^2 = se_images^2 + var(rho_a) / S_a + var(rho_b) / S_b

with Welch's and Satterthwaite's degrees of freedom. A single training of one side is given the variance of the other's;
a system without seeds, a baseline say, has none. Trainings by images as a crossed random effect: what of a training
is peculiar to some images counts in both terms, so that the interval is rather too wide than too narrow (Owen 2007,
"The pigeonhole bootstrap"). One training a side says nothing of seeds: the comparison is of those very heads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from amnet_common.errors import RunError
from headtrain.evaluation.bootstrap import Comparison, mean_rho, mean_rhos, paired, refuse_unlike
from headtrain.evaluation.predictions import Predictions

Training = Sequence[Predictions]  # the test of one training on each of its splits
LEVEL = 0.95


@dataclass(frozen=True)
class Side:
    """Hold what a number of trainings of one system say on average."""

    rhos: np.ndarray  # (S,) mean over the splits
    resampled: np.ndarray  # (R,) mean over trainings and splits

    @property
    def variance(self) -> float:
        """Return the variance between trainings; 0 where there is one."""
        return float(self.rhos.var(ddof=1)) if len(self.rhos) > 1 else 0.0


def compared(
    a: Sequence[Training], b: Sequence[Training], seed: int = 0, seeded: tuple[bool, bool] = (True, True)
) -> Comparison:
    """Compare the mean rho of the trainings `a` with that of `b`, whose splits have the same images.

    One training a side is compared by `paired`. `seeded`: whether another seed would have given either side otherwise.
    Raises RunError for unlike images, and where a rho is not defined.
    """
    for training in (*a, *b):
        refuse_unlike(a[0], training)
    if len(a) == len(b) == 1:
        return paired(a[0], b[0], seed)
    one, two = (_side(trainings, seed) for trainings in (a, b))
    difference = float(one.rhos.mean() - two.rhos.mean())
    of_images = float(np.nanvar(one.resampled - two.resampled, ddof=1))
    images = len({id_ for split in a[0] for id_ in split.ids})
    parts = [(of_images, images - 1), *_of_seeds(one, two, seeded)]
    error, freedom = math.sqrt(sum(part for part, _ in parts)), _freedom(parts)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else 1.0
    return Comparison(difference, difference - reach, difference + reach, p, images, len(a[0]), (len(a), len(b)))


def _side(trainings: Sequence[Training], seed: int) -> Side:
    rhos = np.array([mean_rho(training) for training in trainings])
    return Side(rhos, np.mean([mean_rhos(training, seed) for training in trainings], axis=0))


def _of_seeds(one: Side, two: Side, seeded: tuple[bool, bool]) -> list[tuple[float, int]]:
    """The variances of the two means that seeds make, each with its degrees of freedom."""
    sides = (one, two)
    several = [side for side in sides if len(side.rhos) > 1]
    if len(several) == 1 and all(seeded):  # one variance for both
        (known,) = several
        return [(known.variance * (1 + 1 / len(known.rhos)), len(known.rhos) - 1)]
    return [(side.variance / len(side.rhos), len(side.rhos) - 1) for side in several]


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances, each with its own."""
    total = sum(part for part, _ in parts)
    spent = sum(part**2 / freedom for part, freedom in parts if part)
    return total**2 / spent if spent else math.inf


def holm(values: Sequence[float]) -> list[float]:
    """Compute p values corrected by Holm's method: the chance of any false one of several stays below the level.

    Raises RunError for p that is no number.
    """
    if any(math.isnan(value) for value in values):
        raise RunError("comparisons: expected p values, found one that is no number")
    order = np.argsort(values, kind="stable")
    steps = [min(1.0, (len(values) - place) * values[k]) for place, k in enumerate(order)]
    corrected = dict(zip(order.tolist(), np.maximum.accumulate(steps).tolist(), strict=True)) if steps else {}
    return [corrected[k] for k in range(len(values))]
