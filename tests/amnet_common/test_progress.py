"""Progress where stderr is no terminal: whole lines, one a minute and one at each end."""

import io
import re
import sys

import click
import pytest
from click.testing import CliRunner

from amnet_common import progress as module
from amnet_common.commands import OneLineErrors, progress, say_above
from amnet_common.progress import duration, line_of
from amnet_common.reporting import Reporter


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_line_a_minute_and_one_at_each_end(clock, capsys):
    with progress("extract", 58741, "images") as bar:
        for _ in range(240):
            clock.now += 0.5
            bar.update(25)
        bar.set_postfix(failed=3, refresh=False)
    assert capsys.readouterr().err.splitlines() == [
        "extract: 0 of 58741 images (0.0 %)",
        "extract: 3000 of 58741 images (5.1 %), 50 images/s, 19 min left",
        "extract: 6000 of 58741 images (10.2 %), 50 images/s, 18 min left",
        "extract: 6000 of 58741 images (10.2 %), 50 images/s, in 2 min, 3 failed",
    ]


def test_the_total_may_change_and_be_nothing(clock, capsys):
    with progress("sweep", 8, "epochs") as bar:
        clock.now += 16
        bar.update(2)
        bar.total = 2
    with progress("look", 0, "images"):
        pass
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 0 of 8 epochs (0.0 %)", "sweep: 2 of 2 epochs (100.0 %), 0.12 epochs/s, in 16 s",
        "look: 0 of 0 images (100.0 %)", "look: 0 of 0 images (100.0 %)",
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [
    (0.2, "0 s"), (119, "119 s"), (120, "2 min"), (1600, "27 min"), (12000, "3 h 20 min"), (187200, "2 d 4 h"),
])  # fmt: skip
def test_times_are_in_words(seconds, text):
    assert duration(seconds) == text


def test_a_line_has_share_rate_and_time_left():
    assert (
        line_of("extract", 1200, 58741, "images", 34.0)
        == "extract: 1200 of 58741 images (2.0 %), 35 images/s, 27 min left"
    )


class Terminal(io.StringIO):
    """A terminal that remembers what is drawn on it."""

    def isatty(self):
        return True


def test_a_terminal_has_a_bar_and_its_log_the_lines(clock, monkeypatch, tmp_path):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    speaker = Reporter()
    with speaker.speaking():
        speaker.log_to(tmp_path / "a.log")
        with progress("score", 10, "images") as bar:
            clock.now += 61
            bar.update(4)
            say_above("beside the bar")
    assert "score:" in terminal.getvalue()
    assert "\r" in terminal.getvalue()
    assert " of 10 images" not in terminal.getvalue()
    text = (tmp_path / "a.log").read_text()
    assert "\r" not in text
    assert [re.sub(r"\S+ \d+ (.*)", r"\1", line) for line in text.splitlines()] == [
        "score: 0 of 10 images (0.0 %)",
        "score: 4 of 10 images (40.0 %), 0.066 images/s, 92 s left",
        "beside the bar",
        "score: 4 of 10 images (40.0 %), 0.066 images/s, in 61 s",
    ]


def test_a_quiet_command_shows_no_progress_anywhere(monkeypatch):
    def body():
        with progress("score", 10, "images") as bar:
            bar.update(10)

    assert CliRunner().invoke(click.command("tool", cls=OneLineErrors)(body), ["--quiet"]).stderr == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Reporter(quiet=True).speaking():
        body()
    assert terminal.getvalue() == ""
