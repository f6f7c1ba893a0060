"""What any head must beat: the mean score, and ridge and kernel ridge regressions on statistics of the features.

Every strength is chosen by leave-one-out on the training images, so that the validation list chooses nothing and may
choose among them. Letters: n images, D channels.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from headtrain.evaluation.kernel_ridge import (
    Fit,
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
from headtrain.heads.kernel import KernelHead, kernel_config
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
    config: Config | None = None  # of a baseline that scores other images as well, and
    head: KernelHead | None = None  # which is this head


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
    return Baseline("ridge", f"strength {best.strength:.3g}", xv @ w + b, xt @ w + b)


def kernel_ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d^2 / (2 w^2)) on the mean of all views, w the median distance."""
    return _fitted(gaussian, _all_views(features, subsets, of_mean), subsets).baseline("kernel ridge")


def exponential_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on the mean of all views, w the median distance."""
    return _fitted(exponential, _all_views(features, subsets, of_mean), subsets).baseline("exponential kernel")


def moments_kernel(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge with exp(-d / w) on mean, deviation and maximum over the locations, means of all views.

    It is a head like any other.
    """
    found = _fitted(exponential, _all_views(features, subsets, of_moments), subsets)
    baseline = found.baseline("exponential kernel on moments")
    *grid, D = features.collection.view_shape
    config = kernel_config(math.prod(grid), D, len(found.fit.landmarks))
    return replace(baseline, config=config, head=found.head(config))


@dataclass(frozen=True)
class Fitted:
    """Hold a kernel regression of standardised statistics, and what it says of the other lists."""

    fit: Fit
    mean: np.ndarray  # (F,) of the training images, as `std`
    std: np.ndarray
    images: int
    val: np.ndarray  # (n_val,) on the data's scale
    test: np.ndarray  # (n_test,)

    def baseline(self, name: str) -> Baseline:
        """Return it as a baseline of that name."""
        marks = len(self.fit.landmarks)
        kept = f", {marks} landmarks of {self.images} images" if marks < self.images else ""
        return Baseline(name, f"width 1 median, strength {self.fit.strength:.3g}{kept}", self.val, self.test)

    def head(self, config: Config) -> KernelHead:
        """Return it as a head."""
        fit = self.fit
        return KernelHead.of_fit(
            config.head, (self.mean, self.std), fit.landmarks, fit.coefficients, fit.width, fit.intercept
        )


def of_mean(known: Statistics) -> np.ndarray:
    """Return the means over the locations."""
    return known.mean


def of_moments(known: Statistics) -> np.ndarray:
    """Return mean, deviation and maximum over the locations."""
    return known.moments


def _all_views(
    features: Pooled, subsets: Subsets, of: Callable[[Statistics], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistics over all views of the training, validation and test images."""
    train, val, test = (of(features.take(one.rows, range(features.collection.views))) for one in _lists(subsets))
    return train, val, test


def _fitted(shape: Shape, lists: tuple[np.ndarray, np.ndarray, np.ndarray], subsets: Subsets) -> Fitted:
    """Fit a kernel of the median width on the first of the lists."""
    mean, std = _statistics(lists[0])
    x, xv, xt = ((one - mean) / std for one in lists)
    found = fit(shape, median_distance(x), x, subsets.train.scores)
    return Fitted(found, mean, std, len(x), found.predict(xv), found.predict(xt))


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
