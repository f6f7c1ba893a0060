"""The statistics that a head keeps: of its input channels and of the scores, both from the training images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from headtrain.features.batches import ordered_picks, scales_on, to_floats

STATISTICS_IMAGES = 1000  # enough for a channel's mean and spread: 196,000 locations


class Statistics(NamedTuple):
    """Hold the mean and the standard deviation of each channel."""

    mean: Tensor  # (D,) float64
    std: Tensor  # (D,) float64, 1 for a channel that never fires


def channel_statistics(collection: Collection, rows: np.ndarray) -> Statistics:
    """Compute each channel's mean and standard deviation over view 0 of up to STATISTICS_IMAGES rows, all locations."""
    spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), STATISTICS_IMAGES)).astype(np.int64))
    total = squares = torch.zeros(collection.view_shape[-1], dtype=torch.float64)
    count = 0
    scales = scales_on("cpu", collection)
    for _, features in collection.batches(ordered_picks(rows[spread], 0, 64)):
        x = to_floats(torch.from_numpy(features), scales).double().flatten(0, 1)  # (n * L, D)
        total, squares, count = total + x.sum(0), squares + (x * x).sum(0), count + len(x)
    mean = total / count
    std = (squares / count - mean**2).clamp_min(0).sqrt()
    return Statistics(mean, torch.where(std > 1e-6, std, 1.0))  # a channel that never fires stays zero


def target_statistics(scores: np.ndarray) -> tuple[float, float]:
    """Compute the mean and the scale that bring `scores` (n,) to zero mean within [-1, 1] (section 3.5)."""
    mean = float(scores.mean())
    return mean, 1 / max(float(np.abs(scores - mean).max()), 1e-12)
