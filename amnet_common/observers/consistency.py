"""How far the observers of trials agree, by any measure of how well an image is remembered."""

from collections.abc import Callable

import numpy as np

from amnet_common.agreement import Consistency, first_half, rank_correlation
from amnet_common.observers.measures import Counts
from amnet_common.observers.trials import Trials


def split_half(
    trials: Trials, measure: Callable[[Counts], np.ndarray], halves: int, seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> Consistency:  # fmt: skip
    """Compare images by `measure` in random halves of the observers, so many times; `advance` is called after each.

    An odd observer is in the second half. Which observers are together depends on their names, the seed and the number
    of the half alone.
    """
    rhos, images = np.full(halves, np.nan), len(trials.ids)
    whole, people = trials.counts(), len(trials.observers)
    for number in range(halves):
        first = trials.counts(first_half(people, number, seed)[trials.observer])
        second = Counts(*(all_ - some for all_, some in zip(whole, first, strict=True)))
        a, b = measure(first), measure(second)
        both = ~np.isnan(a) & ~np.isnan(b)
        rhos[number], images = rank_correlation(a[both], b[both]), min(images, int(both.sum()))
        advance()
    return Consistency(rhos, images)
