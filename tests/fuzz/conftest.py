"""The trials of readers, and the figures of a full run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import FIGURES, Trial


@pytest.fixture
def trial():
    """trial(name, read) -> a Trial, counted when the test ends."""
    trials: list[Trial] = []

    def begin(name: str, read: Callable[[Path], object]) -> Trial:
        trials.append(Trial(name, read))
        return trials[-1]

    yield begin
    for each in trials:
        each.count()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of a full run."""
    if FIGURES.tables and "AMNET_FUZZ_EXAMPLES" in os.environ:
        terminalreporter.section("fuzz")
        terminalreporter.write(FIGURES.markdown())
