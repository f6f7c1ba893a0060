"""Which views an epoch shows, in which order (pure), and the reading of them one batch ahead of their use."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.seeds import keyed_philox

READ_AHEAD = 2  # batches: one in use, one being read; 100 MB each at 256 float16 views


class Picks(NamedTuple):
    """One batch: which views, and where their images stand in the list they come from."""

    rows: np.ndarray  # (n,) int64, rows of the collection
    views: np.ndarray  # (n,) int64
    places: np.ndarray  # (n,) int64, positions in the list


def epoch_picks(rows: np.ndarray, views: int, seed: int, epoch: int, batch_size: int) -> list[Picks]:
    """Every row once, shuffled, each with one random augmented view; view 0 where there is no other.

    The same for equal (seed, epoch), whatever happened before: an epoch can be repeated alone.
    """
    draw = np.random.Generator(keyed_philox("epoch", seed, epoch))
    order = draw.permutation(len(rows))
    chosen = draw.integers(1, views, len(rows)) if views > 1 else np.zeros(len(rows), np.int64)
    starts = range(0, len(rows), batch_size)
    parts = (order[start : start + batch_size] for start in starts)
    return [Picks(rows[part], chosen[part], part) for part in parts]


def ordered_picks(rows: np.ndarray, view: int, batch_size: int) -> list[Picks]:
    """Every row once, in order, in one view."""
    places = np.arange(len(rows))
    parts = (places[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return [Picks(rows[part], np.full(len(part), view), part) for part in parts]


def read_ahead(collection: Collection, batches: Iterable[Picks]) -> Iterator[tuple[Picks, np.ndarray]]:
    """Each batch with its features, (n, 14, 14, 1024) in the stored dtype; the next is read meanwhile.

    Every view is compared with its checksum: CollectionError for damaged features.
    """
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        pending: deque[tuple[Picks, Future[np.ndarray]]] = deque()
        for picks in batches:
            pending.append((picks, pool.submit(collection.read, picks.rows, picks.views, None, True)))
            if len(pending) >= READ_AHEAD:
                yield _result(*pending.popleft())
        while pending:
            yield _result(*pending.popleft())


def _result(picks: Picks, features: Future[np.ndarray]) -> tuple[Picks, np.ndarray]:
    return picks, features.result()
