"""How good predictions are. Sections 4.2 and 5 of the paper."""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Metrics:
    """Agreement of predicted with human scores over n images."""

    rho: float  # Spearman rank correlation, average ranks for ties; NaN if either side is constant
    mse: float  # (17), on the data's scale
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """Plain JSON values."""
        return asdict(self)


def evaluate(predicted: np.ndarray, scores: np.ndarray) -> Metrics:
    """Metrics of (n,) predictions against (n,) scores."""
    mse = float(np.mean((np.asarray(predicted, np.float64) - scores) ** 2))
    return Metrics(spearman(predicted, scores), mse, len(scores))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation with average ranks (scipy); NaN if a side is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(a, b).statistic)
