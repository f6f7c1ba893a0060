"""The views of a training where they are: some on the device, some in main memory, the rest on the disk."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.collection.prefetch import P, read_ahead
from headtrain.features.arriving import arriving
from headtrain.features.batches import Picks

LOAD = 256  # views read at once
AHEAD = 2  # batches gathered or read before they are asked for: one is copied meanwhile, and one computed with


class Needed(NamedTuple):
    """Hold the views of rows that a training reads again and again."""

    rows: np.ndarray  # (n,) int64
    views: np.ndarray  # (n,) int64


class Route(NamedTuple):
    """Hold how the views of one batch come together."""

    rows: np.ndarray  # (m,) int64, of the views that are not on the device: those in main memory first
    views: np.ndarray  # (m,) int64
    there: np.ndarray  # (k,) int64, where the others stand on the device
    order: np.ndarray  # (k + m,) int64, where in the batch they belong: the others, then the first; empty: as they are


class Resident:
    """Serve a collection some of whose views are in memory, as stored (uint8 stays uint8).

    Of the `held` ones the first `there` are on `device`, the next `here` in main memory. What is not on the device is
    gathered or read ahead into buffers, from which it is copied while the kernels of the last batch run. Without a GPU
    `there` is main memory too.
    """

    def __init__(self, collection: Collection, held: Needed, device: str, there: int, here: int) -> None:
        self.collection, self.views, self.scales = collection, collection.views, collection.scales
        self.device, self._kind = torch.device(device), torch.from_numpy(np.empty(0, collection.dtype)).dtype
        self._there = torch.empty((there, *collection.view_shape), dtype=self._kind, device=self.device)
        self._here = torch.empty((here, *collection.view_shape), dtype=self._kind)
        inside = there + here
        self._place = np.full((len(collection), collection.views), inside)  # (N, V): there, then here, then elsewhere
        self._place[held.rows[:inside], held.views[:inside]] = np.arange(inside)

    @property
    def held_bytes(self) -> tuple[int, int]:
        """Return how many bytes of views are on the device, and how many in main memory."""
        return self._there.nbytes, self._here.nbytes

    def fill(self, held: Needed, advance: Callable[[int], object], check: bool = True) -> None:
        """Read the views, compared with their checksums if `check`; `advance` is told of each part's count."""
        for first, memory in ((0, self._there), (len(self._there), self._here)):
            bounds = [slice(i, min(i + LOAD, len(memory))) for i in range(0, len(memory), LOAD)]
            parts = [
                Picks(held.rows[first:][one], held.views[first:][one], np.arange(len(memory))[one]) for one in bounds
            ]
            for part, features in self.collection.batches(parts, check=check):
                start = int(part.positions[0])
                memory[start : start + len(part.rows)].copy_(torch.from_numpy(features))
                advance(len(part.rows))

    def batches(self, picks: Iterable[P], ahead: int = AHEAD, check: bool = True) -> Iterator[tuple[P, Tensor]]:
        """Yield each of `picks` with its views on the device, valid until the next batch is asked for.

        What is in memory is not checked again. All picks are taken at the beginning. Raises as the collection.
        """
        shown = [*picks]
        routes = [self._route(one.rows, one.views) for one in shown]
        indices = self._indices(routes)

        def read(rows: np.ndarray, views: np.ndarray, out: np.ndarray) -> np.ndarray:
            return self._read(rows, views, out, check)

        others = read_ahead(read, self._new_buffer, [route for route in routes if len(route.rows)], ahead)
        arrivals = arriving(others, self.device)
        for one, route, index in zip(shown, routes, indices, strict=True):
            arrived = next(arrivals)[1] if len(route.rows) else None
            yield one, self._together(route, index, arrived)

    def _route(self, rows: np.ndarray, views: np.ndarray) -> Route:
        """Find the places of the views of a batch."""
        place = self._place[rows, views]
        level = np.digitize(place, [len(self._there), len(self._there) + len(self._here)])  # 0 there, 1 here, 2 disk
        order = np.argsort(level, kind="stable")
        k = int((level == 0).sum())
        others = order[k:]
        in_order = bool((order == np.arange(len(order))).all()) and k in (0, len(order))
        return Route(rows[others], views[others], place[order[:k]], order[:0] if in_order else order)

    def _indices(self, routes: list[Route]) -> list[Tensor]:
        """The places on the device and the order of each batch, moved there in one copy."""
        parts = [np.concatenate([route.there, route.order]) for route in routes]
        whole = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *parts]))
        moved = whole.to(self.device) if len(whole) else whole
        return list(moved.split([len(part) for part in parts]))

    def _together(self, route: Route, index: Tensor, arrived: Tensor | None) -> Tensor:
        """The views of a batch in its order; `index` is what `_indices` made of its route."""
        k = len(route.there)
        if arrived is None:
            return self._there[index[:k]]
        if not len(route.order):
            return arrived
        batch = arrived.new_empty((len(route.order), *arrived.shape[1:]))
        batch.index_copy_(0, index[2 * k :], arrived)
        return batch.index_copy_(0, index[k : 2 * k], self._there[index[:k]]) if k else batch

    def _read(self, rows: np.ndarray, views: np.ndarray, out: np.ndarray, check: bool) -> np.ndarray:
        """Fill `out` with views that are not on the device: from main memory, which come first, and from the file."""
        place = self._place[rows, views] - len(self._there)
        here = place[place < len(self._here)]
        if len(here):
            into = torch.from_numpy(out[: len(here)])
            torch.index_select(self._here, 0, torch.from_numpy(here), out=into)
        if len(here) < len(rows):
            self.collection.read(rows[len(here) :], views[len(here) :], out[len(here) :], check)
        return out

    def _new_buffer(self, count: int) -> np.ndarray:
        """A buffer, pinned where the device copies from it by itself."""
        shape = (count, *self.collection.view_shape)
        found: np.ndarray = torch.empty(shape, dtype=self._kind, pin_memory=self.device.type == "cuda").numpy()
        return found
