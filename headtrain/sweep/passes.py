"""Which heads train together (pure): as many as fit, of equal split and shape."""

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from headtrain.compute.bank.grouping import bank_key
from headtrain.settings.configuration import Config
from headtrain.training.member import Job


class Pass(NamedTuple):
    """Heads of one bank."""

    split: int
    jobs: tuple[Job, ...]


def passes(jobs: Sequence[tuple[int, Job]], most: Callable[[Config], int]) -> list[Pass]:
    """All (split, job), in the order of splits, in banks of at most `most(config)` heads, of even size."""
    groups: dict[tuple[int, Hashable], list[Job]] = {}
    for split, job in sorted(jobs, key=lambda pair: pair[0]):
        groups.setdefault((split, bank_key(job.config)), []).append(job)
    return [Pass(split, part) for (split, _), group in groups.items() for part in evenly(group, most(group[0].config))]


def evenly(jobs: Sequence[Job], most: int) -> list[tuple[Job, ...]]:
    """Subsets of at most `most`, which differ in size by one at most."""
    count = -(-len(jobs) // most)
    bounds = [len(jobs) * i // count for i in range(count + 1)]
    return [tuple(jobs[start:stop]) for start, stop in itertools.pairwise(bounds)]
