"""What any head must beat: the mean score, ridge regression and kernel ridge regression on averaged features.

Strengths and widths are chosen by Spearman's rho on the validation images, never on the test images.
Letters: n images, D channels, m landmarks.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist, pdist

from amnet_common.collection import Collection
from amnet_common.seeds import keyed_philox
from headtrain.batches import Picks
from headtrain.metrics import spearman
from headtrain.parts import Part, Parts

BATCH = 66  # views read at a time: six images of eleven views, 26 MB
RIDGE_STRENGTHS = tuple(10.0**power for power in range(-1, 7))  # in units of the standardised features' Gram matrix
KERNEL_STRENGTHS = tuple(10.0**power for power in range(-3, 2))  # in units of the kernel, whose diagonal is 1
WIDTHS = (0.5, 1.0, 2.0, 4.0)  # times the median distance of training images
EXACT_IMAGES = 8000  # training images up to which kernel ridge solves exactly: three matrices of 0.5 GB
LANDMARKS = 4000  # above it: the kernel functions that are kept; matrices of 0.13 GB, and 0.26 GB for a chunk
CHUNK = 8192  # training images whose kernel with the landmarks is in memory at a time
MEDIAN_IMAGES = 1000  # for the median distance: half a million pairs

Progress = Callable[[int], object]  # told how many more views were read


@dataclass(frozen=True)
class Pooled:
    """Features of all N images of a collection averaged over places; NaN for rows that were not asked for."""

    view_0: np.ndarray  # (N, D) float32
    mean: np.ndarray  # (N, D) float32, over the views that were read


@dataclass(frozen=True)
class Baseline:
    """Predictions of a baseline on the data's scale."""

    name: str
    chosen: str  # which strength and width, and by what
    val: np.ndarray  # (n_val,) float64
    test: np.ndarray  # (n_test,) float64


def pool(
    collection: Collection, rows: np.ndarray, views: Literal["all", 0] = "all", progress: Progress | None = None
) -> Pooled:
    """Averages of `rows`, read as a stream, every view compared with its checksum.

    `views` 0 reads the evaluation view alone, and `mean` is then the same as `view_0`. Equal rows are read once.
    Raises as `Collection.read`.
    """
    count, rows = collection.views if views == "all" else 1, np.unique(rows)
    shape = (len(collection), collection.view_shape[-1])
    first, total = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    total[rows] = 0
    for picks, features in collection.batches(_view_picks(rows, count), check=True):
        means = features.mean((1, 2), dtype=np.float32)  # (n, D)
        means *= 1 if collection.scales is None else collection.scales
        first[picks.rows[picks.views == 0]] = means[picks.views == 0]
        np.add.at(total, picks.rows, means)
        if progress:
            progress(len(means))
    return Pooled(first, total / np.float32(count))


def _view_picks(rows: np.ndarray, count: int) -> Iterator[Picks]:
    """Every view of every row in the order of the file."""
    places, views = np.repeat(np.arange(len(rows)), count), np.tile(np.arange(count), len(rows))
    for start in range(0, len(places), BATCH):
        some = slice(start, start + BATCH)
        yield Picks(rows[places[some]], views[some], places[some])
