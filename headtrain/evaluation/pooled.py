"""What baselines know of an image: statistics of each channel over the locations, averaged over its views.

Letters: n images, V views, L locations, D channels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.quantise import dequantise
from headtrain.features.batches import view_picks

BATCH_VIEWS = 66  # views read at a time: six images of eleven views, 26 MB


class Statistics(NamedTuple):
    """Hold what is kept of n images."""

    mean: np.ndarray  # (n, D) mean over locations and views
    moments: np.ndarray  # (n, 3 D): see `moments`, mean over views


class Pooled:
    """Hold the statistics of a collection's images, each read once, when it is first asked for."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._kept: dict[tuple[int, ...], dict[int, tuple[np.ndarray, np.ndarray]]] = {}

    def take(self, rows: np.ndarray, views: Sequence[int]) -> Statistics:
        """Return the statistics of `rows` over `views`, float64. Raises as `Collection.read`."""
        kept = self._kept.setdefault(tuple(views), {})
        new = np.array(sorted({int(row) for row in rows} - kept.keys()), np.int64)
        found = pooled(self.collection, new, views)
        kept.update(zip(new.tolist(), zip(*found, strict=True), strict=True))
        mean, both = zip(*(kept[int(row)] for row in rows), strict=True)
        return Statistics(np.stack(mean).astype(np.float64), np.stack(both).astype(np.float64))


def pooled(collection: Collection, rows: np.ndarray, views: Sequence[int]) -> Statistics:
    """Compute the statistics of `rows` over `views`, each view compared with its checksum; float32."""
    D = collection.view_shape[-1]
    total, both = np.zeros((len(rows), D), np.float32), np.zeros((len(rows), 3 * D), np.float32)
    for picks, features in collection.batches(view_picks(rows, views, BATCH_VIEWS), check=True):
        x = dequantise(features, collection.scales).reshape(len(features), -1, D)  # (B, L, D) float32
        at = picks.positions // len(views)
        np.add.at(total, at, x.mean(1))
        np.add.at(both, at, moments(x))
    return Statistics(total / len(views), both / len(views))


def moments(x: np.ndarray) -> np.ndarray:
    """Compute mean, standard deviation and maximum of x (B, L, D) over the locations: (B, 3 D)."""
    return np.concatenate([x.mean(1), x.std(1), x.max(1)], axis=1)
