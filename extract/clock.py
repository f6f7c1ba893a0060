"""Seconds by stage, added up over threads: where the time of an extraction goes."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

READ, DECODE, CUT = "read", "decode", "cut"  # at work, in each of the workers
PICTURES = "pictures"  # the trunk's thread has to wait for views
TRUNK = "trunk"  # it computes, or somebody waits for the device
WRITE = "write"  # checksums, the file, and its syncs

Item = TypeVar("Item")


class Clock:
    """Measure the time of every stage, in seconds; used from several threads."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent within this context to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - started
            with self._lock:
                self.seconds[stage] += passed

    def waiting(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and add the time until each comes to a stage."""
        source = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item
