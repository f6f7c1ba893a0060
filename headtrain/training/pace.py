"""How often to do what is slow: so that it takes a small share of the time, whatever it takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 0.05


class Pace:
    """Due at first, and again when what was done took at most SHARE of the time since."""

    def __init__(self) -> None:
        self._next = float("-inf")

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What is done within counts."""
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + (now - begun) / SHARE
