"""How good predictions are. Sections 4.2 and 5 of the paper."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from amnet_common.errors import AmnetError


class PredictionsError(AmnetError, ValueError):
    """Predictions cannot be measured or compared as they are."""


@dataclass(frozen=True)
class Metrics:
    """Agreement of predicted with human scores over n images; NaN where a figure is not defined.

    Calibration is the least-squares line score = slope * predicted + intercept, and the two ranges side by side:
    predictions of a narrower range than the scores clip.
    """

    rho: float  # Spearman rank correlation, average ranks for ties; NaN if either side is constant
    rho_tie_free: float  # (16), whose ties are broken by the order of the list; NaN if either side is constant
    mse: float  # (17), on the data's scale
    pearson: float  # NaN if either side is constant
    slope: float  # 1 is perfect, above 1: predictions are too timid; NaN for constant predictions
    intercept: float  # 0 is perfect; NaN for constant predictions
    predicted_low: float
    predicted_high: float
    score_low: float
    score_high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain JSON values: None, JSON's null, for NaN and infinity, which strict readers of JSON refuse."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}


def evaluate(predicted: np.ndarray, scores: np.ndarray) -> Metrics:
    """Metrics of (n,) predictions against (n,) scores.

    Predictions that are not all finite (of a head that diverged) give NaN for all that depends on them.
    Raises PredictionsError unless there are at least 2 images and as many predictions as scores.
    """
    predicted, scores = checked_pair(predicted, scores)
    if not np.isfinite(predicted).all():
        predicted = np.full(len(predicted), math.nan)
    slope, intercept = calibration(predicted, scores)
    return Metrics(
        rho=spearman(predicted, scores),
        rho_tie_free=spearman_tie_free(predicted, scores),
        mse=float(np.mean((predicted - scores) ** 2)),
        pearson=pearson(predicted, scores),
        slope=slope,
        intercept=intercept,
        predicted_low=float(predicted.min()),
        predicted_high=float(predicted.max()),
        score_low=float(scores.min()),
        score_high=float(scores.max()),
        n=len(scores),
    )


def checked_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64. PredictionsError unless both are (n,) of one n >= 2."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise PredictionsError(f"wanted as many predictions as scores, and at least 2, found shapes {a.shape} and "
                               f"{b.shape}")  # fmt: skip
    return a, b


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation with average ranks (scipy); NaN if a side is constant or has a NaN."""
    return math.nan if _undefined(a) or _undefined(b) else float(stats.spearmanr(a, b).statistic)


def spearman_tie_free(a: np.ndarray, b: np.ndarray) -> float:
    """The paper's (16), 1 - 6 sum d^2 / (n (n^2 - 1)), exact only without ties; NaN where `spearman` is.

    Equal values get different ranks, in the order of the list, so that the order of the list decides.
    """
    if _undefined(a) or _undefined(b):
        return math.nan
    n, d = len(a), _ordinal_ranks(a) - _ordinal_ranks(b)
    return 1 - 6 * int(d @ d) / (n * (n * n - 1))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Linear correlation; NaN if a side is constant or has a NaN."""
    return math.nan if _undefined(a) or _undefined(b) else float(np.corrcoef(a, b)[0, 1])


def calibration(predicted: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the least-squares line score = slope * predicted + intercept; NaN if there is none."""
    if _undefined(predicted):
        return math.nan, math.nan
    centred = predicted - predicted.mean()
    slope = float(centred @ scores / (centred @ centred))
    return slope, float(scores.mean() - slope * predicted.mean())


def _undefined(values: np.ndarray) -> bool:
    """Whether no correlation with `values` exists: they are all equal, or one is NaN."""
    return not bool(np.min(values) < np.max(values))


def _ordinal_ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
