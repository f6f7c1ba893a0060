"""Batches read ahead of their use, into buffers that are made once and used in turn."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np


class ReadRequest(Protocol):
    """Describe what a batch asks for; anything else that it carries comes back with its features."""

    @property
    def rows(self) -> np.ndarray:
        """Return the rows to read, (n,) int64."""

    @property
    def views(self) -> np.ndarray:
        """Return the view to read of each row, (n,) int64."""


P = TypeVar("P", bound=ReadRequest)
Read = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # rows, views, out


def read_ahead(
    read: Read, new_buffer: Callable[[int], np.ndarray], batches: Iterable[P], ahead: int
) -> Iterator[tuple[P, np.ndarray]]:
    """Yield each batch with its features, while up to `ahead` batches behind it are being read.

    `new_buffer(n)` makes a buffer for n views. Features stay valid until the next batch is asked for.
    """
    buffers: deque[np.ndarray] = deque()  # free ones
    pending: deque[tuple[P, np.ndarray, Future[np.ndarray]]] = deque()

    def start(picks: P) -> None:
        buffer = buffers.popleft() if buffers else new_buffer(len(picks.rows))
        if len(buffer) < len(picks.rows):
            buffer = new_buffer(len(picks.rows))
        out = buffer[: len(picks.rows)]
        pending.append((picks, buffer, pool.submit(read, picks.rows, picks.views, out)))

    def finish() -> Iterator[tuple[P, np.ndarray]]:
        """Yield the oldest batch with its features; its buffer is free once the next one is asked for."""
        picks, buffer, features = pending.popleft()
        yield picks, features.result()
        buffers.append(buffer)

    with ThreadPoolExecutor(1, "read-ahead") as pool:
        for picks in batches:
            start(picks)
            if len(pending) > ahead:
                yield from finish()
        while pending:
            yield from finish()
