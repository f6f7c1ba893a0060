"""Whether a trunk in half precision still gives the features of float32: measured on views of the data set at hand.

The usual trunk was measured once and for all (docs/performance.md); others are, whenever a collection is begun.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from amnet_common.errors import ConfigError
from amnet_common.images import ignored_pillow_warnings
from extract.compute import Compute
from extract.frozen_trunk import FrozenTrunk
from extract.pipeline import Cutter, RunTrunk, in_batches
from extract.scales import sample_rows
from extract.weights import Weights

IMAGES = 8  # whose evaluation views are computed twice
MOST = 0.02  # of the norm of a view's features: twice what the usual trunk's are rounded by in bfloat16


def refuse_unfaithful(cutter: Cutter, weights: Weights, compute: Compute, trunk: RunTrunk) -> float | None:
    """Return by how much the features of a trunk in half precision differ from float32's: the largest share of the norm
    of a view's features, NaN where no image can be read. None of the usual trunk and of float32, which need no such
    test.

    Raises ConfigError where it is too much.
    """
    if weights.trunk.usual or compute.precision == "float32":
        return None
    exact = FrozenTrunk(weights, replace(compute, precision="float32"))
    apart = [
        np.linalg.norm(half - full) / np.linalg.norm(full)
        for pixels in evaluation_views(cutter, compute.batch_size)
        for half, full in zip(features_of(trunk, pixels), features_of(exact, pixels), strict=True)
    ]
    found = float(np.max(apart)) if apart else float("nan")
    if apart and not found <= MOST:
        raise ConfigError(f"--precision {compute.precision}: expected features of --trunk {weights.trunk.name} within "
                          f"{MOST:.0%} of those in float32, found {found:.1%} apart on {len(apart)} images; leave "
                          "--precision out")  # fmt: skip
    return found


def evaluation_views(cutter: Cutter, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the evaluation views of a few readable images of a data set, in batches."""
    alone = replace(cutter, plan=replace(cutter.plan, augs=0))
    cuts = (alone(row) for row in sample_rows(alone.total, alone.seed))
    readable = islice((cut for cut in cuts if cut.pixels is not None), IMAGES)
    with ignored_pillow_warnings():
        for _, pixels in in_batches(readable, batch_size):
            yield pixels


def features_of(trunk: RunTrunk, pixels: np.ndarray) -> np.ndarray:
    """Compute features as they are stored in float16, as float64."""
    return trunk(pixels).result().features.astype(np.float64)
