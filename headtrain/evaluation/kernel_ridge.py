"""Kernel ridge regression whose strength is chosen by leave-one-out, in closed form.

Without image i the fit predicts y_i - r_i / (1 - h_ii) for it, r = y - H y, with the hat matrix H(s) that a strength s
gives (Allen's PRESS; Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", equation 7.52). The fit has
an intercept that is not penalised, and H holds it: scores centred beforehand would tell each image's own score, as the
others then add up to its negative, and with fewer images than channels the weakest penalty would always look best. One
eigendecomposition serves all strengths. Letters: n images, m landmarks, D channels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist, pdist

from amnet_common.errors import RunError
from amnet_common.seeds import keyed_philox

STRENGTHS = tuple(10.0**power for power in np.arange(-4, 1.75, 0.25))  # of a kernel whose diagonal is 1
KERNEL_IMAGES = 8_000  # images up to which every one is a landmark; the matrices take 0.5 GB each there
LANDMARKS = 4096  # above it, the kernel functions that are kept (subset of regressors)
MEDIAN_IMAGES = 1000  # for the median distance: half a million pairs
CHUNK = 8192  # images whose kernel with the landmarks is in memory at a time, beyond KERNEL_IMAGES
JITTER = 1e-8  # keeps the landmarks' matrix positive definite in float64

Shape = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # of features (n, D), (m, D) and a width: (n, m)
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Solution:
    """Hold what a strength gives: coefficients, intercept, and leave-one-out predictions (n,)."""

    strength: float
    coefficients: np.ndarray  # (m,), or (D,) of a linear ridge
    intercept: float
    left_out: np.ndarray


@dataclass(frozen=True)
class Fit:
    """Hold a fitted kernel regression: f(x) = k(x, landmarks) a + b."""

    shape: Shape
    width: float
    landmarks: np.ndarray  # (m, D)
    coefficients: np.ndarray  # (m,) a
    intercept: float  # b
    strength: float
    left_out: np.ndarray  # (n,) what the fit without it predicts for each training image

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predict the scores (n,) of features x (n, D)."""
        return self.shape(x, self.landmarks, self.width) @ self.coefficients + self.intercept


def gaussian(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Compute exp(-d^2 / (2 w^2)), (n, m), of features (n, D) and (m, D)."""
    return np.exp(cdist(a, b, "sqeuclidean") / (-2 * width**2))


def exponential(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Compute exp(-d / w), (n, m), of features (n, D) and (m, D)."""
    return np.exp(cdist(a, b) / -width)


def median_distance(x: np.ndarray) -> float:
    """Compute the usual width of a kernel: the median distance of training images x (n, D) that differ.

    Raises RunError if no two do.
    """
    draw = np.random.Generator(keyed_philox("median", len(x)))
    some = x if len(x) <= MEDIAN_IMAGES else x[draw.choice(len(x), MEDIAN_IMAGES, replace=False)]
    distances = pdist(some)
    if not (distances > 0).any():
        raise RunError("kernel ridge: expected training images whose features differ, found them all alike")
    return float(np.median(distances[distances > 0]))


def fit(shape: Shape, width: float, x: np.ndarray, y: np.ndarray) -> Fit:
    """Fit scores y (n,) of features x (n, D), at the strength of the least leave-one-out squared error."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return shape(a, b, width)

    marks = landmarks_of(x)
    ways = _exact(kernel, x, y) if len(marks) == len(x) <= KERNEL_IMAGES else _by_landmarks(kernel, x, y, marks)
    best = best_left_out(ways, y)
    return Fit(shape, width, marks, best.coefficients, best.intercept, best.strength, best.left_out)


def best_left_out(ways: Iterable[Solution], y: np.ndarray) -> Solution:
    """Return the solution whose leave-one-out predictions of y (n,) have the least squared error."""
    return min(ways, key=lambda found: float(np.square(found.left_out - y).mean()))


def landmarks_of(x: np.ndarray) -> np.ndarray:
    """Return (m, D): all training images, or a seeded choice of them where they are many."""
    if len(x) <= KERNEL_IMAGES:
        return x
    draw = np.random.Generator(keyed_philox("landmarks", len(x)))
    return x[np.sort(draw.choice(len(x), min(LANDMARKS, len(x)), replace=False))]


def _exact(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> Iterator[Solution]:
    """A = K + s I: b = 1' A^-1 y / 1' A^-1 1, a = A^-1 (y - b 1) = P y, and y - a_i / P_ii."""
    values, q = linalg.eigh(kernel(x, x))  # K = Q diag(l) Q'
    moment, ones, squares = q.T @ y, q.sum(0), np.square(q)  # of Q: Q'y, Q'1
    for strength in STRENGTHS:
        inverse = 1 / (np.maximum(values, 0) + strength)  # (n,)
        u = q @ (inverse * ones)  # A^-1 1
        b = float(u @ y / u.sum())
        a = q @ (inverse * moment) - b * u
        yield Solution(strength, a, b, y - a / (squares @ inverse - u**2 / u.sum()))


def _by_landmarks(kernel: Kernel, x: np.ndarray, y: np.ndarray, marks: np.ndarray) -> Iterator[Solution]:
    """The same of a ridge regression on f = C^-1 k(marks, x), K_mm = C C': the subset of regressors."""
    own = kernel(marks, marks)  # (m, m)
    own[np.diag_indices_from(own)] += JITTER
    c = linalg.cholesky(own, lower=True)

    def features(some: np.ndarray) -> np.ndarray:
        return linalg.solve_triangular(c, kernel(marks, some), lower=True).T  # (chunk, m)

    for found in ridge_solutions(features, x, y, len(marks), STRENGTHS):
        yield replace(found, coefficients=linalg.solve_triangular(c, found.coefficients, lower=True, trans=1))


def ridge_solutions(
    features: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, m: int, strengths: Sequence[float]
) -> Iterator[Solution]:
    """Yield the solution of each strength: w = (G'G + s I)^-1 G'y (m,) of G = F - mean F, F = features(x) (n, m).

    F is made in chunks, twice.
    """
    chunks = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    gram, moment, mean, centre = np.zeros((m, m)), np.zeros(m), np.zeros(m), float(y.mean())
    for part in chunks:
        f = features(x[part])
        gram += f.T @ f
        moment += f.T @ (y[part] - centre)
        mean += f.sum(0) / len(x)
    values, v = linalg.eigh(gram - len(x) * np.outer(mean, mean))  # G'G = V diag(l) V'
    inverse = 1 / (np.maximum(values, 0)[:, None] + np.array(strengths))  # (m, strengths)
    weights = inverse * (v.T @ moment)[:, None]  # (m, strengths), in the basis V
    left_out = np.empty((len(x), len(strengths)))
    for part in chunks:
        rotated = (features(x[part]) - mean) @ v
        residual = y[part, None] - centre - rotated @ weights  # (chunk, strengths)
        left_out[part] = y[part, None] - residual / (1 - 1 / len(x) - np.square(rotated) @ inverse)
    for k, strength in enumerate(strengths):
        w = v @ weights[:, k]
        yield Solution(strength, w, centre - float(mean @ w), left_out[:, k])
