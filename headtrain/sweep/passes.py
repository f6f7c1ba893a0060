"""Which heads train together (pure): as many as fit, of equal split and shape."""

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from headtrain.compute.bank.grouping import bank_key
from headtrain.settings.configuration import Config
from headtrain.training.planned import PlannedRun

SplitRun = tuple[int, PlannedRun]  # a run and the number of its split


class Pass(NamedTuple):
    """Hold the runs that train in one bank."""

    split: int
    planned: tuple[PlannedRun, ...]


def passes(runs: Sequence[SplitRun], most: Callable[[Config], int]) -> list[Pass]:
    """Put all runs, in the order of splits, into banks of at most `most(config)` heads, of even size."""
    groups: dict[tuple[int, Hashable], list[PlannedRun]] = {}
    for split, one in sorted(runs, key=lambda pair: pair[0]):
        groups.setdefault((split, bank_key(one.config)), []).append(one)
    return [Pass(split, some) for (split, _), group in groups.items() for some in evenly(group, most(group[0].config))]


def evenly(planned: Sequence[PlannedRun], most: int) -> list[tuple[PlannedRun, ...]]:
    """Cut runs into pieces of at most `most`, which differ in size by one at most."""
    count = -(-len(planned) // most)
    bounds = [len(planned) * i // count for i in range(count + 1)]
    return [tuple(planned[start:stop]) for start, stop in itertools.pairwise(bounds)]
