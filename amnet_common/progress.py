"""How far a work is: a bar on a terminal; in a log, or wherever stderr leads, a line a minute."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from amnet_common.reporting import reporter, say_aside, terminal

if TYPE_CHECKING:
    from tqdm import tqdm

EVERY = 60.0  # seconds between two lines
MINUTE, HOUR, DAY = 60, 3600, 86400


class Progress:
    """Show how much of a work is done, with rate and time left. `total` may change meanwhile."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.unit = what, unit
        self.done, self._extra = 0, ""
        self._reporter = reporter()
        self._bar: tqdm[NoReturn] | None = None
        at_terminal = terminal().isatty()
        self._lines = self._reporter.bars and (not at_terminal or self._reporter.log is not None)
        self._shown = not at_terminal
        if at_terminal and self._reporter.bars and not self._reporter.quiet:
            self._bar = bar_of(what, total, unit)
        self._total = total
        self._begun = self._said = time.monotonic()
        self._say(self._begun)

    @property
    def total(self) -> int:
        """Return how much there is to do."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        if self._bar is not None:
            self._bar.total = total

    def update(self, count: int = 1) -> None:
        """Count what was done now."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        if (now := time.monotonic()) >= self._said + EVERY:
            self._say(now)

    def set_postfix(self, **counts: int) -> None:
        """Show other counts behind those of the work, failed=3 say."""
        counts.pop("refresh", None)
        self._extra = "".join(f", {count} {name}" for name, count in counts.items())
        if self._bar is not None:
            self._bar.set_postfix(counts, refresh=False)

    def close(self) -> None:
        """Close it, with a last line."""
        if self._bar is not None:
            self._bar.close()
        self._say(time.monotonic(), ended=True)
        self._lines = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _say(self, now: float, ended: bool = False) -> None:
        self._said = now
        if self._lines:
            line = line_of(self.what, self.done, self.total, self.unit, now - self._begun, ended)
            self._reporter.aside(line + self._extra, self._shown)


def bar_of(what: str, total: int, unit: str) -> "tqdm[NoReturn]":
    """Make a bar on the terminal."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, desc=what, mininterval=0.5, smoothing=0.05, file=terminal())


def progress(what: str, total: int, unit: str) -> Progress:
    """Make a progress bar on stderr with rate and time left; where stderr is no terminal whole lines, one a minute."""
    return Progress(what, total, unit)


def line_of(what: str, done: int, total: int, unit: str, seconds: float, ended: bool = False) -> str:
    """Return how far a work is after `seconds`, as a line."""
    share = 100 * done / total if total else 100.0
    text = f"{what}: {done} of {total} {unit} ({share:.1f} %)"
    rate = done / seconds if seconds > 0 else 0.0
    if not rate:
        return text
    text += f", {rate:.0f} {unit}/s" if rate >= 10 else f", {rate:.2g} {unit}/s"
    return f"{text}, in {duration(seconds)}" if ended else f"{text}, {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """Return a time in words, in its two largest units at most: `40 s`, `27 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{round(whole / MINUTE)} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def say_above(text: object, emit: Callable[[object], None] = say_aside) -> None:
    """Print a line of text above the progress bar if one is shown; `emit` says how."""
    if not terminal().isatty():
        emit(text)
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=terminal()):
        emit(text)
