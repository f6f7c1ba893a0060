"""Whether the largest or smallest scores look like codes for missing values: 999, -99 and their like (pure)."""

from collections.abc import Iterator

import numpy as np

LEAST_OTHERS = 5  # scores between the extremes, below which nothing is asked
CODES = (9, 99, 999, 9999, 99999, 88, 888, 8888, 77, 777, 7777, 1, 8, 7)  # of SPSS's users, mostly with a minus


def range_line(scores: np.ndarray) -> str:
    """Describe the range of scores (n,), NaN for none, and how many have its ends; empty where there are none."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return ""
    low, high = known.min(), known.max()
    ends = f"{(known == low).sum()} at the lowest, {(known == high).sum()} at the highest"
    return f"{len(known)} scores from {low:g} to {high:g}, {ends}"


def questions(scores: np.ndarray, what: str = "score") -> Iterator[str]:
    """Yield a question for each end of the range of scores (n,) that looks like a code for a missing one."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return
    for end in (known.min(), known.max()):
        inner = known[(known != known.min()) & (known != known.max())]
        if len(inner) < LEAST_OTHERS:
            continue
        gap, spread = np.abs(inner - end).min(), np.ptp(inner)
        count = int((known == end).sum())
        is_code = abs(end) in CODES and end == int(end)
        far = gap > spread and (count > 1 or is_code)
        if far or (end < 0 and is_code and inner.min() >= 0):
            nearest = inner[np.abs(inner - end).argmin()]
            are = f"{count} {what}s are" if count > 1 else f"one {what} is"
            yield (f"{are} {end:g}, far from the others, the nearest of which is {nearest:g}: does {end:g} stand for a "
                   f"missing {what}? Then leave these cells empty")  # fmt: skip
