"""SIGTERM and SIGHUP leave a command in order, in one line, with a status of their own; what is ignored stays so."""

import os
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from amnet_common.commands import OneLineErrors, deferred_interrupt
from amnet_common.interrupts import HungUp, Terminated, unwinding_signals
from tests.support.minded import minded

FATAL = {signal.SIGTERM: 143, signal.SIGHUP: 129}
WRITES = """
import sys, time, click
from pathlib import Path
from amnet_common.commands import OneLineErrors, say
from amnet_common.files import whole_file

def body():
    with whole_file(Path("out.csv")) as temporary:
        temporary.write_text("half")
        say("begun", err=True)
        for _ in range(600):  # Python does not see a signal that comes just before a long sleep until that ends
            time.sleep(0.1)

click.command("tool", cls=OneLineErrors)(body)(sys.argv[1:])
"""


def invoke(body, *words):
    return CliRunner().invoke(click.command("tool", cls=OneLineErrors)(body), words)


@pytest.fixture(autouse=True)
def as_at_a_terminal():
    """Nothing is ignored, and all is as before at the end."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in FATAL}
    yield
    for number, handler in before.items():
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), FATAL.items())
def test_a_command_without_any_care_ends_in_one_line(number, status):
    result = invoke(lambda: signal.raise_signal(number))
    assert (result.exit_code, result.stderr) == (status, "tool: interrupted.\n")


@pytest.mark.parametrize("number", FATAL)
def test_those_that_follow_do_not_strike_what_cleans_up(number):
    cleaned = []

    def body():
        try:
            signal.raise_signal(number)
        finally:
            for other in FATAL:
                signal.raise_signal(other)
            cleaned.append("all")

    assert (invoke(body).exit_code, cleaned) == (FATAL[number], ["all"])


def test_what_nohup_has_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def body():
        signal.raise_signal(signal.SIGHUP)
        with deferred_interrupt() as check:
            signal.raise_signal(signal.SIGHUP)
            check()

    assert invoke(body).exit_code == 0
    assert signal.signal(signal.SIGHUP, signal.SIG_DFL) is signal.SIG_IGN


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGHUP, HungUp)])
def test_where_interrupts_are_deferred_these_wait_too(number, kind):
    with unwinding_signals(), deferred_interrupt() as check:
        signal.raise_signal(number)
        with pytest.raises(kind):
            check()


def test_a_second_hang_up_does_not_strike_and_a_second_termination_does():
    with unwinding_signals(), deferred_interrupt():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_is_lost_in_a_destructor_comes_again():
    class Deaf:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def body():
        Deaf()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.01)

    assert invoke(body).exit_code == 143


@pytest.mark.parametrize(("number", "status"), [*FATAL.items(), (signal.SIGINT, 130)])
def test_a_real_process_leaves_nothing_half_written(tmp_path, number, status):
    with minded(number):
        process = subprocess.Popen([sys.executable, "-c", WRITES], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr.readline() == "begun\n"
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    assert (process.returncode, rest) == (status, "-c: interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_that_has_gone_does_not_keep_a_command_from_its_status(tmp_path):
    leader, follower = os.openpty()
    with minded(signal.SIGHUP):
        process = subprocess.Popen([sys.executable, "-c", WRITES], cwd=tmp_path, stdin=follower, stdout=follower,
                                   stderr=follower, start_new_session=True)  # fmt: skip
    os.close(follower)
    with process:
        assert b"begun" in os.read(leader, 100)
        os.close(leader)  # the terminal's window
        process.send_signal(signal.SIGHUP)  # as the kernel does to the session that it controls
        assert process.wait(60) == 129
    assert list(tmp_path.iterdir()) == []
