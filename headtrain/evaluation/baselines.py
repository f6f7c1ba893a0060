"""What any head must beat: the mean score, and ridge and kernel ridge regressions on statistics of the features.

Every strength is chosen by leave-one-out on the training images, so that the validation list chooses nothing and may
choose among them. Letters: n images, D channels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headtrain.evaluation.kernel_ridge import (
    Kernel,
    best_left_out,
    exponential,
    fit,
    gaussian,
    of_median_width,
    ridge_solutions,
)
from headtrain.evaluation.pooled import Pooled, Statistics
from headtrain.features.splits import Subset, Subsets

RIDGE_STRENGTHS = tuple(10.0**power for power in np.arange(-1, 6.5, 0.5))  # of the standardised features' Gram matrix
Shape = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """Hold the predictions of a baseline on the data's scale."""

    name: str
    chosen: str  # which strength, by leave-one-out
    val: np.ndarray  # (n_val,) float64
    test: np.ndarray  # (n_test,) float64


def constant(_: Pooled, subsets: Subsets) -> Baseline:
    """Predict the mean of the training scores."""
    mean = subsets.train.scores.mean()
    return Baseline("constant", "nothing", *(np.full(len(subset.rows), mean) for subset in (subsets.val, subsets.test)))


def ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit ridge regression on the mean of view 0: w = (X'X + s I)^-1 X'y, each channel standardised."""
    x, xv, xt = _standardised(*(features.take(one.rows, [0]).mean for one in _lists(subsets)))
    y, centre = _centred(subsets.train)
    w, strength, _ = best_left_out(ridge_solutions(np.asarray, x, y, x.shape[1], RIDGE_STRENGTHS), y)
    return Baseline("ridge", f"strength {strength:.3g}", xv @ w + centre, xt @ w + centre)


def kernel_ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d^2 / (2 w^2)) on the mean of all views, w the median distance."""
    return _by_kernel("kernel ridge", gaussian, features, subsets, lambda known: known.mean)


def exponential_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on the mean of all views, w the median distance."""
    return _by_kernel("exponential kernel", exponential, features, subsets, lambda known: known.mean)


def moments_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on mean, deviation and maximum over the locations, means of all views."""
    return _by_kernel("exponential kernel on moments", exponential, features, subsets, lambda known: known.moments)


def _by_kernel(
    name: str, shape: Shape, features: Pooled, subsets: Subsets, of: Callable[[Statistics], np.ndarray]
) -> Baseline:
    views = range(features.collection.views)
    x, xv, xt = _standardised(*(of(features.take(one.rows, views)) for one in _lists(subsets)))
    y, centre = _centred(subsets.train)
    kernel: Kernel = of_median_width(shape, x)
    found = fit(kernel, x, y)
    kept = f", {len(found.landmarks)} landmarks of {len(x)} images" if len(found.landmarks) < len(x) else ""
    val, test = (found.predict(one) + centre for one in (xv, xt))
    return Baseline(name, f"width 1 median, strength {found.strength:.3g}{kept}", val, test)


def _lists(subsets: Subsets) -> tuple[Subset, Subset, Subset]:
    return subsets.train, subsets.val, subsets.test


def _standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """By the statistics of the training images."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    return [(x - mean) / std for x in (train, *others)]


def _centred(subset: Subset) -> tuple[np.ndarray, float]:
    centre = float(subset.scores.mean())
    return subset.scores - centre, centre


BASELINES: Mapping[str, Callable[[Pooled, Subsets], Baseline]] = {
    "constant": constant,
    "ridge": ridge,
    "kernel-ridge": kernel_ridge,
    "exponential-kernel": exponential_kernel,
    "moments-kernel": moments_kernel,
}
