"""The memory that several threads share while they decode large pictures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

COUNTED_FROM = 2**28  # bytes; smaller pictures (33 megapixels) are free, and cost no waiting


class Budget:
    """Let several threads decode at once, as long as their large pictures fit together: a weighted semaphore."""

    def __init__(self, total: int, counted_from: int = COUNTED_FROM) -> None:
        self.total, self.counted_from = total, counted_from  # bytes
        self._taken = 0
        self._freed = threading.Condition()

    @contextmanager
    def held(self, needed: int) -> Iterator[None]:
        """Wait until `needed` bytes are free, or nobody else holds any; they are taken within the context."""
        if needed < self.counted_from:
            yield
            return
        with self._freed:
            self._freed.wait_for(lambda: self._taken == 0 or self._taken + needed <= self.total)
            self._taken += needed
        try:
            yield
        finally:
            with self._freed:
                self._taken -= needed
                self._freed.notify_all()
