"""What any head must beat: the mean score, ridge regression and kernel ridge regression on averaged features.

Strengths are chosen by Spearman's rho on the validation images. Letters: n images, D channels, m landmarks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist, pdist

from amnet_common.collection import Collection
from amnet_common.seeds import keyed_philox
from headtrain.evaluation.metrics import ordering_key, spearman
from headtrain.features.batches import view_picks
from headtrain.features.splits import Subset, Subsets

BATCH_VIEWS = 66  # views read at a time: six images of eleven views, 26 MB
RIDGE_STRENGTHS = tuple(10.0**power for power in range(-1, 7))  # in units of the standardised features' Gram matrix
KERNEL_STRENGTHS = tuple(10.0**power for power in np.arange(-3, 1.5, 0.5))  # of the kernel, whose diagonal is 1
WIDTHS = (1.0,)  # times the median distance of training images, the usual choice
KERNEL_IMAGES = 12_000  # training images up to which kernel ridge is exact; its matrices take 1.2 GB each there
LANDMARKS = 4096  # above it, the kernel functions that are kept (subset of regressors)
CHUNK = 8192  # images whose kernel with the landmarks is in memory at a time
MEDIAN_IMAGES = 1000  # for the median distance: half a million pairs
JITTER = 1e-8  # keeps the landmarks' matrix positive definite in float64

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """Hold the predictions of a baseline on the data's scale."""

    name: str
    chosen: str  # which strength and width, by validation
    val: np.ndarray  # (n_val,) float64
    test: np.ndarray  # (n_test,) float64


class Pooled:
    """Average features of a collection's images over locations and views, when they are asked for, and keep them."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._kept: dict[tuple[int, ...], dict[int, np.ndarray]] = {}

    def take(self, rows: np.ndarray, views: Sequence[int]) -> np.ndarray:
        """Return the averaged features of `rows`, (n, D) float64. Raises as `Collection.read`."""
        kept = self._kept.setdefault(tuple(views), {})
        new = np.array(sorted({int(row) for row in rows} - kept.keys()), np.int64)
        kept.update(zip(new.tolist(), pooled(self.collection, new, views), strict=True))
        return np.stack([kept[int(row)] for row in rows])


def pooled(collection: Collection, rows: np.ndarray, views: Sequence[int]) -> np.ndarray:
    """Average `rows` over locations and `views`, each compared with its checksum; gives (n, D) float64."""
    total = np.zeros((len(rows), collection.view_shape[-1]))
    for picks, features in collection.batches(view_picks(rows, views, BATCH_VIEWS), check=True):
        np.add.at(total, picks.positions // len(views), features.mean((1, 2), dtype=np.float32))  # of (n, D)
    return total / len(views) * (1 if collection.scales is None else collection.scales)


def constant(_: Pooled, subsets: Subsets) -> Baseline:
    """Predict the mean of the training scores."""
    mean = subsets.train.scores.mean()
    return Baseline("constant", "nothing", *(np.full(len(subset.rows), mean) for subset in (subsets.val, subsets.test)))


def ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit ridge regression on view 0: w = (X'X + s I)^-1 X'y, each channel standardised."""
    x, xv, xt = _standardised(features, subsets, [0])
    y, centre = _centred(subsets.train)
    solutions = _solutions(x.T @ x, x.T @ y, RIDGE_STRENGTHS)
    strength, w = max(solutions, key=lambda found: ordering_key(spearman(xv @ found[1], subsets.val.scores)))
    return Baseline("ridge", f"strength {strength:g}", xv @ w + centre, xt @ w + centre)


def kernel_ridge(features: Pooled, subsets: Subsets) -> Baseline:
    """Fit kernel ridge on the mean of all views: a = (K + s I)^-1 y with K = exp(-d^2 / (2 w^2)).

    On many images with landmarks: a = (K_mn K_nm + s K_mm)^-1 K_mn y (subset of regressors).
    """
    x, xv, xt = _standardised(features, subsets, range(features.collection.views))
    y, centre = _centred(subsets.train)
    marks = _landmarks(x)
    fits = [
        (width, strength, *(kernel(subset, marks) @ a for subset in (xv, xt)))
        for width, kernel in _kernels(x)
        for strength, a in _kernel_solutions(kernel, x, y, marks)
    ]
    width, strength, val, test = max(fits, key=lambda fit: ordering_key(spearman(fit[2], subsets.val.scores)))
    kept = f", {len(marks)} landmarks of {len(x)} images" if len(x) > KERNEL_IMAGES else ""
    return Baseline(
        "kernel ridge", f"width {width:g} medians, strength {strength:g}{kept}", val + centre, test + centre
    )


def _kernels(x: np.ndarray) -> Iterator[tuple[float, Kernel]]:
    """Gaussian kernels of each width."""
    draw = np.random.Generator(keyed_philox("median", len(x)))
    some = x if len(x) <= MEDIAN_IMAGES else x[draw.choice(len(x), MEDIAN_IMAGES, replace=False)]
    median = float(np.median(pdist(some)))
    for factor in WIDTHS:
        yield factor, partial(_gaussian, width=factor * median)


def _gaussian(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """(n, m): exp(-d^2 / (2 w^2))."""
    return np.exp(cdist(a, b, "sqeuclidean") / (-2 * width**2))


def _landmarks(x: np.ndarray) -> np.ndarray:
    """(m, D): all training images, or a seeded choice of them where they are many."""
    if len(x) <= KERNEL_IMAGES:
        return x
    draw = np.random.Generator(keyed_philox("landmarks", len(x)))
    return x[np.sort(draw.choice(len(x), min(LANDMARKS, len(x)), replace=False))]


def _kernel_solutions(
    kernel: Kernel, x: np.ndarray, y: np.ndarray, marks: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    """Coefficients (m,) for each strength."""
    if len(marks) == len(x) <= KERNEL_IMAGES:
        yield from _solutions(kernel(x, x), y, KERNEL_STRENGTHS)
        return
    own = kernel(marks, marks)  # (m, m)
    own[np.diag_indices_from(own)] += JITTER
    gram, moment = np.zeros_like(own), np.zeros(len(marks))
    for start in range(0, len(x), CHUNK):
        cross = kernel(x[start : start + CHUNK], marks)  # (chunk, m)
        gram += cross.T @ cross
        moment += cross.T @ y[start : start + CHUNK]
    for strength in KERNEL_STRENGTHS:
        yield strength, linalg.solve(gram + strength * own, moment, assume_a="pos")


def _solutions(
    matrix: np.ndarray, moment: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """(matrix + strength I)^-1 moment for each strength."""
    for strength in strengths:
        yield strength, linalg.solve(matrix + strength * np.eye(len(matrix)), moment, assume_a="pos")


def _standardised(features: Pooled, subsets: Subsets, views: Sequence[int]) -> list[np.ndarray]:
    """Of train, validation and test, by the statistics of the training images."""
    taken = [features.take(subset.rows, views) for subset in (subsets.train, subsets.val, subsets.test)]
    mean, std = taken[0].mean(0), taken[0].std(0) + 1e-6
    return [(x - mean) / std for x in taken]


def _centred(subset: Subset) -> tuple[np.ndarray, float]:
    centre = float(subset.scores.mean())
    return subset.scores - centre, centre


BASELINES: Mapping[str, Callable[[Pooled, Subsets], Baseline]] = {
    "constant": constant,
    "ridge": ridge,
    "kernel-ridge": kernel_ridge,
}
