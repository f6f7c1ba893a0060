"""How sure a rank correlation is, and a difference of two: percentile bootstrap over the images.

Splits share test images, so images are drawn, not lines: an image drawn twice counts twice in every split that has it.
A draw is a row of counts (weights); rho of the drawn lines is the weighted correlation of their average ranks, so that
the lines need sorting only once. Letters: R resamples, U images of all splits together, n images of one split.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from amnet_common.errors import RunError
from amnet_common.seeds import keyed_philox
from headtrain.evaluation.metrics import spearman
from headtrain.evaluation.predictions import Predictions

RESAMPLES = 2000
TAILS = (2.5, 97.5)  # per cent: an interval of 95 %
CHUNK_COUNTS = 2**20  # counts in memory at a time, 8 MB


@dataclass(frozen=True)
class Interval:
    """Hold the bounds between which 95 % of the resamples lie; NaN if rho is not defined."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Hold the mean rho over the splits of one system minus that of another, on the same images."""

    difference: float
    low: float
    high: float
    p: float  # two-sided; of one training a side no smaller than 2 / (RESAMPLES + 1)
    images: int  # U
    splits: int
    trainings: tuple[int, int] = (1, 1)  # of either side

    @property
    def real(self) -> bool:
        """Tell whether the 95 % interval leaves out 0."""
        return self.low > 0 or self.high < 0


def interval(predictions: Predictions, seed: int = 0) -> Interval:
    """Compute the interval of the Spearman correlation over one list of images. Raises RunError if it is empty."""
    return mean_interval([predictions], seed)


def mean_interval(splits: Sequence[Predictions], seed: int = 0) -> Interval:
    """Compute the interval of the mean Spearman correlation over splits, which may share images. Raises RunError if
    there is no split, or one without images.
    """
    return _percentiles(mean_rhos(splits, seed))


def paired(a: Sequence[Predictions], b: Sequence[Predictions], seed: int = 0) -> Comparison:
    """Test whether the mean rho of `a` differs from that of `b`: both are resampled by the same draws.

    Raises RunError unless split for split they have the same images in the same order with the same scores, and where
    a rho is not defined.
    """
    refuse_unlike(a, b)
    difference = mean_rho(a) - mean_rho(b)
    resampled = mean_rhos(a, seed) - mean_rhos(b, seed)  # (R,)
    bounds = _percentiles(resampled)
    images = len({id_ for split in a for id_ in split.ids})
    return Comparison(difference, bounds.low, bounds.high, _two_sided(resampled), images, len(a))


def _two_sided(differences: np.ndarray) -> float:
    """Twice the smaller share of (R,) resampled differences on either side of 0, 0 on both, with the +1 correction."""
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return math.nan
    fewer = min((finite <= 0).sum(), (finite >= 0).sum())
    return min(1.0, 2 * (int(fewer) + 1) / (len(finite) + 1))


def _percentiles(values: np.ndarray) -> Interval:
    """Of (R,) values, without the resamples whose rho is not defined."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Interval(math.nan, math.nan)
    low, high = np.percentile(finite, TAILS)
    return Interval(float(low), float(high))


def mean_rhos(splits: Sequence[Predictions], seed: int) -> np.ndarray:
    """Compute the mean rho over the splits in each resample, (R,). The draws depend on the ids and the seed alone."""
    if not splits or not all(map(len, splits)):
        raise RunError(f"bootstrap: expected images in at least one split, found {[len(split) for split in splits]}")
    union = {id_: i for i, id_ in enumerate(dict.fromkeys(id_ for split in splits for id_ in split.ids))}
    positions = [np.array([union[id_] for id_ in split.ids]) for split in splits]  # (n,) in the union
    return np.concatenate([
        np.mean([_weighted_rho(split, counts[:, own]) for split, own in zip(splits, positions, strict=True)], axis=0)
        for counts in _draws(len(union), seed)
    ])  # fmt: skip


def _draws(images: int, seed: int) -> Iterator[np.ndarray]:
    """(r, U) int64: how often each image was drawn, U draws in each of r resamples; RESAMPLES rows together."""
    draw = np.random.Generator(keyed_philox("bootstrap", seed))
    rows = max(1, CHUNK_COUNTS // images)
    for start in range(0, RESAMPLES, rows):
        r = min(rows, RESAMPLES - start)
        drawn = draw.integers(0, images, (r, images)) + images * np.arange(r)[:, None]
        yield np.bincount(drawn.ravel(), minlength=r * images).reshape(r, images)


def _weighted_rho(split: Predictions, counts: np.ndarray) -> np.ndarray:
    """(r,) Spearman correlations of lines that stand counts (r, n) times in the list; NaN where a side is constant."""
    a, b = _weighted_ranks(split.predicted, counts), _weighted_ranks(split.scores, counts)  # (r, n)
    ab, aa, bb = ((counts * x * y).sum(1) for x, y in ((a, b), (a, a), (b, b)))
    scale = np.sqrt(aa * bb)
    return np.divide(ab, scale, out=np.full(len(counts), np.nan), where=scale > 0)


def _weighted_ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(r, n) average ranks of values (n,) that stand counts (r, n) times in the list, about their mean.

    Exact, as ranks are halves of integers: a side that is constant among the drawn lines gives zeros.
    """
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)  # (n,), (G,)
    starts = np.cumsum(sizes) - sizes  # (G,) where each group of equal values begins in the sorted list
    weights = np.add.reduceat(counts[:, np.argsort(group, kind="stable")], starts, axis=1)  # (r, G)
    above = np.cumsum(weights, axis=1)
    total = above[:, -1:]  # (r, 1)
    return (above - weights / 2 - total / 2)[:, group]  # the mean rank is (total + 1) / 2


def mean_rho(splits: Sequence[Predictions]) -> float:
    """Compute the mean Spearman correlation over splits. Raises RunError where one is not defined."""
    rhos = [spearman(split.predicted, split.scores) for split in splits]
    if not np.isfinite(rhos).all():
        raise RunError("comparison: expected a rank correlation on every split, found one that is not defined: all "
                       "predictions, or all scores, are equal")  # fmt: skip
    return float(np.mean(rhos))


def refuse_unlike(a: Sequence[Predictions], b: Sequence[Predictions]) -> None:
    """Raise RunError unless two systems were tested on the same images in the same order, with the same scores."""
    if len(a) != len(b):
        raise RunError(f"comparison: expected the same splits on both sides, found {len(a)} and {len(b)}")
    for number, (x, y) in enumerate(zip(a, b, strict=True), 1):
        where = f"comparison: pair {number} of splits"
        if len(x) != len(y):
            raise RunError(f"{where}: expected the same images, found {len(x)} and {len(y)}")
        for id_, other, score, score_of_other in zip(x.ids, y.ids, x.scores, y.scores, strict=True):
            if id_ != other:
                raise RunError(f"{where}: expected the same images in the same order, found {id_} and {other}")
            if score != score_of_other:
                raise RunError(f"{where}: expected the same scores, found {score} and {score_of_other} for {id_}")
