"""The passes of a sweep divided among processes, one a card (pure)."""

import itertools
from collections.abc import Sequence

from headtrain.sweep.passes import Pass


def divided(plan: Sequence[Pass], count: int, whole_splits: bool) -> list[list[Pass]]:
    """Group passes in at most `count` parts that have about as many epochs of heads; none is empty.

    Neighbours stay together, so that a part has few splits, whose views it reads. `whole_splits`: a split is in one.
    """
    units = [[one] for one in plan]
    if whole_splits:
        units = [[*group] for _, group in itertools.groupby(plan, key=lambda one: one.split)]
    costs = [sum(planned.config.training.epochs for one in unit for planned in one.planned) for unit in units]
    parts: list[list[Pass]] = [[] for _ in range(count)]
    done, total = 0.0, sum(costs)
    for unit, cost in zip(units, costs, strict=True):
        parts[int((done + cost / 2) / total * count)] += unit
        done += cost
    return [part for part in parts if part]
