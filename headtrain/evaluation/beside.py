"""Whether a simpler model does better than a head on the same images: said where the head's figures are."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from headtrain.evaluation.baselines import ridge
from headtrain.evaluation.metrics import spearman
from headtrain.evaluation.pooled import Pooled
from headtrain.features.splits import Subsets

MOST_IMAGES = 5_000  # to train ridge on, beside a training: seconds; with more, `amnet-head baseline` fits it


class Beside(NamedTuple):
    """Hold the rank correlations of a head and of a simpler model on the same images."""

    head: float
    other: float


def ridge_rho(collection: Collection, subsets: Subsets, tested: bool) -> float:
    """Compute the rho of ridge regression on mean-pooled view 0, on the test list, or on the validation list where the
    test list is to stay closed (`tested` False); NaN for more training images than MOST_IMAGES.

    Raises CollectionError for damaged features.
    """
    if len(subsets.train.rows) > MOST_IMAGES:
        return math.nan
    judged = subsets.test if tested else subsets.val
    found = ridge(Pooled(collection), replace(subsets, val=judged, test=judged))  # and so no other list is read
    return spearman(found.test, judged.scores)


def better_line(name: object, simpler: str, found: Sequence[Beside], judged: str) -> str:
    """Describe a simpler model that does better than a head, on the mean over splits; empty if it does not.

    `judged`: the kind of list, test or validation.
    """
    head, other = (float(np.mean(values)) for values in zip(*found, strict=True)) if found else (math.nan, math.nan)
    if not other > head:
        return ""
    mean = f" (means of {len(found)} splits)" if len(found) > 1 else ""
    return f"note: {name}: {simpler} reaches {judged} rho {other:.4f}: more than this head, {head:.4f}{mean}"
