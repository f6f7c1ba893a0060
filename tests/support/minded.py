"""Signals that a command which a test begins is to mind, also where the tests were begun with nohup."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def minded(number: signal.Signals) -> Iterator[None]:
    """Within it this process, and so one that it begins, does not ignore a signal: what is ignored is inherited."""
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        yield
    finally:
        signal.signal(number, before)
