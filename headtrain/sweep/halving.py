"""Successive halving (Jamieson and Talwalkar 2016; asynchronous: Li et al. 2020), on validation rho alone (pure).

At epochs f, f^2, f^3 ... only the best 1/f of all heads of the split that have come so far are kept.
"""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

from headtrain.evaluation.metrics import ordering_key

K = TypeVar("K", bound=Hashable)


def is_rung(epoch: int, factor: int) -> bool:
    """Tell whether heads are compared after this epoch: factor, factor^2, factor^3 ..."""
    while epoch % factor == 0:
        epoch //= factor
        if epoch == 1:
            return True
    return False


def losers(rhos: Mapping[K, float], earlier: list[float], factor: int) -> set[K]:
    """Return those of `rhos` (each head's highest validation rho) to prune; `earlier`: of heads that came before."""
    going_on = math.ceil((len(rhos) + len(earlier)) / factor)
    better = sorted([*map(ordering_key, rhos.values()), *map(ordering_key, earlier)], reverse=True)
    return {key for key, rho in rhos.items() if ordering_key(rho) < better[going_on - 1]}
