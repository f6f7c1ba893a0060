"""How good predictions are: every figure of merit with its name, column, digits and direction in one line.

A field of `Metrics` is all that a new figure needs: tables, leaderboard, report and JSON show it by its description.
Sections 4.2 and 5 of the paper.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from amnet_common.files import finite

FLAT_SHARE = 0.1  # of the scores' standard deviation: below it predictions say next to nothing, whatever their rho
Compute = Callable[[np.ndarray, np.ndarray], float]  # of (n,) predictions and (n,) human scores


@dataclass(frozen=True)
class Metric:
    """Describe a figure of merit: how it is computed, and how it is shown."""

    name: str  # in JSON, and the field of Metrics
    compute: Compute
    column: str  # heading in the table and in the report; empty: not shown there
    digits: int  # after the point, of a mean over splits; a single head's has one more
    board: str  # column of the leaderboard; empty: not shown there
    higher_is_better: bool

    def rounded(self, value: float) -> str:
        """Return a single head's figure as text, `undefined` for NaN."""
        return "undefined" if math.isnan(value) else f"{value:.{self.digits + 1}f}"


def metric(compute: Compute, column: str = "", digits: int = 3, board: str = "", higher_is_better: bool = True) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a field of `Metrics`; it is NaN where a run of an older version does not know it."""
    about = {"compute": compute, "column": column, "digits": digits, "board": board, "higher": higher_is_better}
    return field(default=math.nan, metadata=about)


def mean_squared_error(predicted: np.ndarray, scores: np.ndarray) -> float:
    """Return (17), the mean of the squared differences of (n,) predictions and scores, on the data's scale."""
    return float(np.mean((predicted - scores) ** 2))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Spearman rank correlation of (n,) with (n,), with average ranks (scipy).

    NaN if a side is constant or has fewer than 2 values.
    """
    if len(a) < 2:
        return math.nan
    from scipy import stats  # takes a second to import: a leaderboard, which computes nothing, need not wait

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(a, b).statistic)


def spearman_tie_free(a: np.ndarray, b: np.ndarray) -> float:
    """Return 1 - 6 sum d^2 / (n (n^2 - 1)), d the differences of ranks (16): ties are ranked in the order they come.

    So the order of the images decides where there are ties: of constant predictions it makes a number without meaning.
    NaN for fewer than 2 values, or if one of them is NaN.
    """
    n = len(a)
    if n < 2 or np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    d = (_order_ranks(a) - _order_ranks(b)).astype(np.float64)  # (n,)
    return 1 - 6 * float(d @ d) / (n * (n**2 - 1))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return the linear correlation of (n,) with (n,); NaN if a side is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    da, db = a - np.mean(a), b - np.mean(b)
    return float(da @ db / math.sqrt((da @ da) * (db @ db)))


def calibration(predicted: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept of the least squares line through (predicted, score); NaN for constant predictions."""
    if np.ptp(predicted) == 0:
        return math.nan, math.nan
    centred = predicted - np.mean(predicted)
    slope = float(centred @ scores / (centred @ centred))
    return slope, float(np.mean(scores) - slope * np.mean(predicted))


@dataclass(frozen=True)
class Metrics:
    """Hold the agreement of predicted with human scores over n images.

    The line is score = slope * predicted + intercept. A figure that is not defined is NaN: a correlation if either side
    is constant, the line if the predictions are.
    """

    rho: float = metric(spearman, "test rho", 3, "test-rho")  # Spearman rank correlation, average ranks for ties
    rho_tie_free: float = metric(spearman_tie_free)  # (16), which knows no ties
    mse: float = metric(mean_squared_error, "MSE", 4, "mse", higher_is_better=False)  # (17)
    pearson: float = metric(pearson, "Pearson")
    slope: float = metric(lambda predicted, scores: calibration(predicted, scores)[0], "slope", 2)  # 1: calibrated
    intercept: float = metric(lambda predicted, scores: calibration(predicted, scores)[1])  # 0: calibrated
    predicted_low: float = metric(lambda predicted, _: float(predicted.min()))  # range of the predictions: narrower
    predicted_high: float = metric(lambda predicted, _: float(predicted.max()))  # than the scores', unless certain
    predicted_sd: float = metric(lambda predicted, _: float(predicted.std()))
    score_sd: float = metric(lambda _, scores: float(scores.std()))
    score_low: float = metric(lambda _, scores: float(scores.min()))
    score_high: float = metric(lambda _, scores: float(scores.max()))
    n: int = 0

    @property
    def flat(self) -> bool:
        """Tell whether the predictions hardly differ beside the scores: a head that has learnt next to nothing."""
        return self.predicted_sd < FLAT_SHARE * self.score_sd

    def as_dict(self) -> dict[str, float | int | None]:
        """Return plain JSON values, None for what is no finite number."""
        return dict(finite(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Metrics":
        """Read what `as_dict` gave, in this version or another: what it lacks is NaN, what is unknown is left out.

        Raises TypeError and ValueError for values that are no numbers.
        """
        known = {name: float(math.nan if values.get(name) is None else values[name]) for name in METRICS}
        return cls(**known, n=int(values.get("n", 0)))


METRICS: Mapping[str, Metric] = {
    item.name: Metric(item.name, item.metadata["compute"], item.metadata["column"], item.metadata["digits"],
                      item.metadata["board"], item.metadata["higher"])
    for item in dataclasses.fields(Metrics) if item.metadata
}  # fmt: skip


def evaluate(predicted: np.ndarray, scores: np.ndarray) -> Metrics:
    """Compute all metrics of (n,) predictions against (n,) human scores, n at least 1."""
    predicted, scores = np.asarray(predicted, np.float64), np.asarray(scores, np.float64)
    return Metrics(**{name: one.compute(predicted, scores) for name, one in METRICS.items()}, n=len(scores))


def flat_line(name: object, metrics: Sequence[Metrics]) -> str:
    """Describe predictions that hardly differ, of one split or several; empty if none are such."""
    flat = [one for one in metrics if one.flat]
    if not flat:
        return ""
    worst = min(flat, key=lambda one: one.predicted_sd / one.score_sd)
    of = "" if len(metrics) == 1 else f" on {len(flat)} of {len(metrics)} splits"
    sizes = f"sd {worst.predicted_sd:.2g}, that of the scores {worst.score_sd:.2g}"
    return (f"note: {name} predicts nearly the same for every image{of} ({sizes}): it has learnt next to nothing, "
            "whatever its rho")  # fmt: skip


def mean_of(metrics: list[Metrics], name: str) -> float:
    """Return the mean over splits of the metric of that name; NaN if one is not defined."""
    return float(np.mean([getattr(one, name) for one in metrics]))


def ordering_key(rho: float) -> float:
    """Return `rho` as a key to choose by: that of constant predictions, NaN, is below any other."""
    return -2.0 if math.isnan(rho) else rho


def _order_ranks(values: np.ndarray) -> np.ndarray:
    """(n,) ranks 0..n-1, ties in the order they come."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
