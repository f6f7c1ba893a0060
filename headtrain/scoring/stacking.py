"""Several systems as one: each one's predictions standardised, weighted, and brought back to the data's scale.

Whatever is chosen is chosen on the validation images. Letters: K members, n images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import rankdata

from amnet_common.errors import RunError
from headtrain.evaluation.metrics import spearman

EQUAL, VALIDATION, STACKED = "equal", "validation", "stacked"
WAYS = (EQUAL, VALIDATION, STACKED)


@dataclass(frozen=True)
class Member:
    """Hold what one system predicts for the validation and test images of a split."""

    name: str
    val: np.ndarray  # (n_val,)
    test: np.ndarray  # (n_test,)


@dataclass(frozen=True)
class Stack:
    """Hold the members' weights, which add up to 1, and what they predict together on the data's scale."""

    weights: tuple[float, ...]  # (K,)
    val: np.ndarray  # (n_val,)
    test: np.ndarray  # (n_test,)


def stacked(members: Sequence[Member], scores: np.ndarray, way: str, ranks: bool = False) -> Stack:
    """Put members together; `scores` (n_val,) of the validation images.

    `ranks`: each prediction counts by its average rank within its list, (rank - 1/2) / n, and not by its size: what a
    system says of one image then depends on the other images of the list.

    Weights of the standardised predictions: `equal`; `validation`: each one's validation rho, negative ones 0;
    `stacked`: non-negative least squares of the scores. The sum is then fitted to the scores by a line.

    Raises RunError if all weights would be 0, if together they rank the wrong way round, or if a member predicts the
    same for all validation images.
    """
    for member in members:
        if np.ptp(member.val) == 0:
            raise RunError(f"{member.name}: expected different predictions of the validation images, found "
                           f"{member.val[0]:g} for all")  # fmt: skip
    if ranks:
        members = [Member(one.name, shares_below(one.val), shares_below(one.test)) for one in members]
    val = np.stack([_standardised(one.val, one) for one in members], axis=1)  # (n_val, K)
    test = np.stack([_standardised(one.test, one) for one in members], axis=1)  # (n_test, K)
    weights = _weights(val, scores, way)  # (K,)
    if not weights.sum() > 0:
        raise RunError(f"--weights {way}: expected a system that ranks the validation images, found none")
    weights = weights / weights.sum()
    slope, intercept = np.polyfit(val @ weights, scores, 1)
    if not slope > 0:
        raise RunError(f"--weights {way}: expected systems that together rank the validation images, found that they "
                       "rank them the wrong way round")  # fmt: skip
    return Stack(tuple(weights.tolist()), *(slope * (part @ weights) + intercept for part in (val, test)))


def shares_below(values: np.ndarray) -> np.ndarray:
    """Compute (rank - 1/2) / n of values (n,) among themselves, average ranks for ties."""
    return (rankdata(values) - 0.5) / len(values)


def _standardised(values: np.ndarray, by: Member) -> np.ndarray:
    return (values - by.val.mean()) / by.val.std()


def _weights(z: np.ndarray, scores: np.ndarray, way: str) -> np.ndarray:
    if way == EQUAL:
        return np.ones(z.shape[1])
    if way == VALIDATION:
        return np.maximum(0, [spearman(column, scores) for column in z.T])
    return nnls(z, scores - scores.mean())[0]
