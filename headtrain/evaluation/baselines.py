"""What any head must beat: the mean score, and ridge and kernel ridge regressions on statistics of the features.

Every strength is chosen by leave-one-out on the training images, so that the validation list chooses nothing and may
choose among them. Letters: n images, D channels.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headtrain.evaluation.kernel_ridge import (
    Shape,
    best_left_out,
    exponential,
    fit,
    gaussian,
    median_distance,
    ridge_solutions,
)
from headtrain.evaluation.pooled import Pooled, Statistics
from headtrain.features.splits import Subset, Subsets
from headtrain.heads.kernel import KernelHead, Settings, kernel_config
from headtrain.settings.configuration import Config

CONSTANT = "constant"
RIDGE_STRENGTHS = tuple(10.0**power for power in np.arange(-1, 6.5, 0.5))  # of the standardised features' Gram matrix


@dataclass(frozen=True)
class Baseline:
    """Hold the predictions of a baseline on the data's scale."""

    name: str
    chosen: str  # which strength, by leave-one-out
    val: np.ndarray  # (n_val,) float64
    test: np.ndarray  # (n_test,) float64
    config: Config | None = None  # of the head that it is, which scores other images as well;
    head: KernelHead | None = None  # the constant is none


def constant(_: Pooled, subsets: Subsets) -> Baseline:
    """Predict the mean of the training scores."""
    mean = subsets.train.scores.mean()
    val, test = (np.full(len(subset.rows), mean) for subset in (subsets.val, subsets.test))
    return Baseline(CONSTANT, "nothing", val, test)


def ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit ridge regression on the mean of view 0: w = (X'X + s I)^-1 X'(y - mean y), each channel standardised."""
    lists = [features.take(one.rows, [0]).mean for one in _lists(subsets)]
    mean, std = _statistics(lists[0])
    x, xv, xt = ((one - mean) / std for one in lists)
    y = subsets.train.scores
    best = best_left_out(ridge_solutions(np.asarray, x, y, x.shape[1], RIDGE_STRENGTHS), y)
    w, b = best.coefficients, best.intercept
    config = _config(features, 1, Settings("linear", "mean", "centre"))
    head = KernelHead.of_fit(config.head, (mean, std), w[None], np.ones(1), 1.0, b)
    return Baseline("ridge", f"strength {best.strength:.3g}", xv @ w + b, xt @ w + b, config, head)


def kernel_ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d^2 / (2 w^2)) on the mean of all views, w the median distance."""
    return _fitted("kernel ridge", gaussian, Settings("gaussian", "mean"), features, subsets)


def exponential_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on the mean of all views, w the median distance."""
    return _fitted("exponential kernel", exponential, Settings("exponential", "mean"), features, subsets)


def moments_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on mean, deviation and maximum over the locations, means of all views."""
    return _fitted("exponential kernel on moments", exponential, Settings(), features, subsets)


def _fitted(name: str, shape: Shape, settings: Settings, features: Pooled, subsets: Subsets) -> Baseline:
    """Fit a kernel of the median width on statistics over all views of the training images."""
    of = of_moments if settings.statistics == "moments" else of_mean
    lists = [of(features.take(one.rows, range(features.collection.views))) for one in _lists(subsets)]
    mean, std = _statistics(lists[0])
    x, xv, xt = ((one - mean) / std for one in lists)
    found = fit(shape, median_distance(x), x, subsets.train.scores)
    marks = len(found.landmarks)
    kept = f", {marks} landmarks of {len(x)} images" if marks < len(x) else ""
    config = _config(features, marks, settings)
    head = KernelHead.of_fit(
        config.head, (mean, std), found.landmarks, found.coefficients, found.width, found.intercept
    )
    chosen = f"width 1 median, strength {found.strength:.3g}{kept}"
    return Baseline(name, chosen, found.predict(xv), found.predict(xt), config, head)


def _config(features: Pooled, landmarks: int, settings: Settings) -> Config:
    """The configuration of a kernel head on features of a collection."""
    *grid, D = features.collection.view_shape
    return kernel_config(math.prod(grid), D, landmarks, settings)


def of_mean(known: Statistics) -> np.ndarray:
    """Return the means over the locations."""
    return known.mean


def of_moments(known: Statistics) -> np.ndarray:
    """Return mean, deviation and maximum over the locations."""
    return known.moments


def _lists(subsets: Subsets) -> tuple[Subset, Subset, Subset]:
    return subsets.train, subsets.val, subsets.test


def _statistics(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the training images, by which every list is standardised."""
    return train.mean(0), train.std(0) + 1e-6


BASELINES: Mapping[str, Callable[[Pooled, Subsets], Baseline]] = {
    "constant": constant,
    "ridge": ridge,
    "kernel-ridge": kernel_ridge,
    "exponential-kernel": exponential_kernel,
    "moments-kernel": moments_kernel,
}
