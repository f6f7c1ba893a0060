"""How sure a mean over splits is, whose training lists share images: J values with standard deviation s have a mean of
variance

    (1/J + n_test / n_train) s^2

after Nadeau and Bengio (2003), "Inference for the Generalization Error", Machine Learning 52; s^2 / J alone takes the
splits for independent, which they are not. The interval is Student's, with J - 1 degrees of freedom. n_train counts the
training lists alone, without those that choose the epoch: rather too wide than too narrow.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

NAME = "Nadeau and Bengio's corrected variance"
LEVEL = 0.95


@dataclass(frozen=True)
class Corrected:
    """Hold a mean over splits with the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def corrected(values: Sequence[float], test: float, train: float) -> Corrected | None:
    """Compute the corrected interval of the mean of J values, each of `test` images, trained on `train`.

    Returns None for fewer than 2 values, one that is not defined, or lists whose length is not known.
    """
    J, s = len(values), np.asarray(values, np.float64)
    if J < 2 or not np.isfinite(s).all() or not (test > 0 and train > 0):
        return None
    from scipy import stats

    mean, error = float(s.mean()), math.sqrt((1 / J + test / train) * float(s.var(ddof=1)))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, J - 1)) * error
    return Corrected(mean, mean - reach, mean + reach)


def mean_text(rhos: Sequence[float], test: float, train: float, splits: str) -> str:
    """Describe the mean of test rhos with its corrected interval; empty where there is none. `splits`: their name."""
    found = corrected(rhos, test, train)
    if found is None:
        return ""
    return f"mean of {len(rhos)} {splits}: test rho {found.mean:.3f}, 95 % {found.low:.3f} to {found.high:.3f} ({NAME})"


def splits_word(foldings: Iterable[object]) -> str:
    """Return what splits are called: folds where each of them says how its lists were dealt."""
    return "folds" if all(foldings) else "splits"
