"""How often to do what is slow: so that it takes a small share of the time, whatever it takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 0.05


class Pace:
    """Tell when something slow is due: at first, and again when what was done took at most SHARE of the time since."""

    def __init__(self) -> None:
        self._next = float("-inf")

    @property
    def due(self) -> bool:
        """Tell whether it is time."""
        return time.monotonic() >= self._next

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Measure how long it takes to do what is done within, which puts off the next time."""
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + (now - begun) / SHARE
