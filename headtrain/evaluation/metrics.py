"""How good predictions are. Sections 4.2 and 5 of the paper."""

import math
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Metrics:
    """Agreement of predicted with human scores over n images. The line is score = slope * predicted + intercept."""

    rho: float  # Spearman rank correlation, average ranks for ties; NaN if either side is constant
    rho_tie_free: float  # (16), which knows no ties
    mse: float  # (17), on the data's scale
    pearson: float  # NaN if either side is constant
    slope: float  # of the least squares line: 1 for calibrated predictions; NaN if they are constant
    intercept: float  # of the same line: 0 for calibrated predictions
    predicted_low: float  # range of the predictions: narrower than that of the scores, unless they are certain
    predicted_high: float
    score_low: float
    score_high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain JSON values; None for what is no finite number."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def evaluate(predicted: np.ndarray, scores: np.ndarray) -> Metrics:
    """Metrics of (n,) predictions against (n,) scores, n at least 1."""
    predicted, scores = np.asarray(predicted, np.float64), np.asarray(scores, np.float64)
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


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation with average ranks (scipy); NaN if a side is constant or has fewer than 2 values."""
    if len(a) < 2:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(a, b).statistic)


def spearman_tie_free(a: np.ndarray, b: np.ndarray) -> float:
    """1 - 6 sum d^2 / (n (n^2 - 1)), d the differences of ranks (16): equal values are ranked in the order they come.

    So the order of the images decides where there are ties: of constant predictions it makes a number without meaning.
    NaN for fewer than 2 values, or if one of them is NaN.
    """
    n = len(a)
    if n < 2 or np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    d = (_order_ranks(a) - _order_ranks(b)).astype(np.float64)  # (n,)
    return 1 - 6 * float(d @ d) / (n * (n**2 - 1))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Linear correlation of (n,) with (n,); NaN if a side is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    da, db = a - np.mean(a), b - np.mean(b)
    return float(da @ db / math.sqrt((da @ da) * (db @ db)))


def calibration(predicted: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the least squares line through (predicted, score); NaN if the predictions are constant."""
    if np.ptp(predicted) == 0:
        return math.nan, math.nan
    centred = predicted - np.mean(predicted)
    slope = float(centred @ scores / (centred @ centred))
    return slope, float(np.mean(scores) - slope * np.mean(predicted))


def ordering_key(rho: float) -> float:
    """`rho` for choosing: that of constant predictions is worse than any."""
    return -2.0 if math.isnan(rho) else rho


def finite(value: float) -> float | None:
    """As JSON has it: None for NaN and infinity, which strict readers refuse."""
    return value if math.isfinite(value) else None


def _order_ranks(values: np.ndarray) -> np.ndarray:
    """(n,) ranks 0..n-1, ties in the order they come."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
