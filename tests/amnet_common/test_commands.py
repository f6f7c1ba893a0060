"""An error of ours becomes one line and exit status 2, Ctrl-C one line and 130."""

import signal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.commands import OneLineErrors, OneLineErrorsGroup, deferred_interrupt, printable
from amnet_common.errors import CollectionError, OutputError


def run(body, kind=OneLineErrors):
    return CliRunner().invoke(click.command("tool", cls=kind)(body), [])


def body_that_raises(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_returned_number_is_the_exit_status(returned, status):
    assert run(lambda: returned).exit_code == status


def test_own_error_is_one_line_and_status_2():
    result = run(body_that_raises(CollectionError("x\ny.h5: damaged")))
    assert (result.exit_code, result.stderr) == (2, "tool: x\\ny.h5: damaged\n")


def test_interruption_is_one_line_and_status_130():
    result = run(body_that_raises(KeyboardInterrupt("the rest is kept")))
    assert (result.exit_code, result.stderr) == (130, "tool: interrupted. the rest is kept\n")


@pytest.fixture
def interruptible():
    """As a command at a terminal is; a background job of a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_deferred_interrupt_waits_for_the_check_and_a_second_one_strikes_at_once():
    struck = []
    with deferred_interrupt() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        struck.append("nothing yet")
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert struck == ["nothing yet"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_interrupt_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as check:
            signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_group_names_its_command_in_the_line():
    group = OneLineErrorsGroup("tool")
    group.command("info")(body_that_raises(CollectionError("damaged")))
    result = CliRunner().invoke(group, ["info"])
    assert (result.exit_code, result.stderr) == (2, "tool info: damaged\n")


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_printable_text_is_one_line_of_utf8(text):
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert not {"\n", "\r"} & set(shown)
    assert len(shown.splitlines()) <= 1 or {"\u2028", "\u2029"} & set(shown)


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\x08b", "\x00", "\x7f", "\x85"])
def test_printable_text_cannot_steer_a_terminal(text):
    assert printable(text).isprintable()
    assert printable(text).isascii()


def test_printable_leaves_ordinary_names_alone():
    assert printable("Zürich 影像.jpg") == "Zürich 影像.jpg"


def test_an_error_of_ours_alone_is_one_line_with_a_file_of_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run(body_that_raises(ZeroDivisionError("by\nzero")))
    (log,) = tmp_path.iterdir()
    line = f"tool: an error of amnet itself: ZeroDivisionError: by zero; its traceback is in {log}; please report it\n"
    assert (result.exit_code, result.stderr) == (70, line)
    assert "in body\n    raise error" in log.read_text()


def test_debug_shows_the_traceback():
    result = CliRunner().invoke(
        click.command("tool", cls=OneLineErrors)(body_that_raises(CollectionError("x"))), ["--debug"]
    )
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("tool: x\n")
    assert "Traceback" not in run(body_that_raises(CollectionError("x"))).stderr


def test_a_full_disk_has_a_status_of_its_own_however_it_is_wrapped():
    def body():
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise OutputError("run/state.pt: cannot be written: No space left on device") from error

    result = run(body)
    assert result.exit_code == 75
    assert result.stderr.startswith("tool: run/state.pt: cannot be written: No space left on device; free some room")


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u2028", "\u2029", "\u200f", "\x9b"])
def test_marks_that_turn_or_break_a_line_are_shown_as_escapes(mark):
    assert mark not in printable(f"a{mark}b")
    assert len(printable(f"a{mark}b")) >= 6
