"""The scales of a uint8 collection: each channel's largest value in a seeded sample of views."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from amnet_common.collection.quantise import scales_from_maxima
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.images import ignored_pillow_warnings
from amnet_common.seeds import keyed_philox
from extract.pipeline import Cutter, RunTrunk, in_batches

SAMPLE_IMAGES = 192  # of at most SAMPLE_VIEWS views each: some 20 s on two cores, and 75,000 locations a channel
SAMPLE_VIEWS = 2  # the evaluation view and an augmented one: more images say more than more views of them


def sample_scales(cutter: Cutter, trunk: RunTrunk, batch_size: int) -> np.ndarray:
    """Compute scales, (D,) float32, from a sample of images.

    The largest value of each channel in the sample is the largest that has a code of its own. Raises DatasetError if no
    image can be read, ConfigError if a feature is negative: codes are not.
    """
    maxima = [features.max((0, 1, 2)) for features in _sample(cutter, trunk, batch_size) if len(features)]  # (D,) each
    if not maxima:
        raise DatasetError(f"--dtype uint8: expected readable images to fix the scales with, found none below "
                           f"{cutter.dataset.image_root}")  # fmt: skip
    return scales_from_maxima(np.max(maxima, 0))


def sample_rows(total: int, seed: int) -> Iterable[int]:
    """Return all rows in the order in which the sample takes them."""
    return np.random.Generator(keyed_philox("scales", seed)).permutation(total).tolist()


def _sample(cutter: Cutter, trunk: RunTrunk, batch_size: int) -> Iterator[np.ndarray]:
    """Features of the sample, batch by batch, as float32."""
    fewer = replace(cutter, plan=replace(cutter.plan, augs=min(cutter.plan.augs, SAMPLE_VIEWS - 1)))
    cuts = (fewer(row) for row in sample_rows(cutter.total, cutter.seed))
    readable = islice((cut for cut in cuts if cut.pixels is not None), SAMPLE_IMAGES)
    with ignored_pillow_warnings():
        for _, pixels in in_batches(readable, batch_size):
            features, _, finite = trunk(pixels).result()
            refuse_negative(features)
            yield features[finite].astype(np.float32)


def refuse_negative(features: np.ndarray) -> None:
    """Raise ConfigError for features that codes cannot say."""
    if features.min(initial=0) < 0:
        raise ConfigError("--dtype uint8: expected features that are never negative, as behind a ReLU, found "
                          f"{features.min():.3g}; --dtype float16 keeps these")  # fmt: skip
