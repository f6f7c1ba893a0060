"""--log-file: whole lines with time and process, also from several at once, and no end of the work if it is full."""

import os
import re
import subprocess
import sys
import time
from datetime import datetime

import click
import pytest
from click.testing import CliRunner

from amnet_common.commands import OneLineErrors, say, say_wrong
from amnet_common.log_file import LogFile

STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (\d+) (.*)")


def lines_of(path):
    """(time, process, text) of each line."""
    return [STAMPED.fullmatch(line).groups() for line in path.read_text().splitlines()]


def invoke(body, *words):
    return CliRunner().invoke(click.command("tool", cls=OneLineErrors)(body), [str(word) for word in words])


def test_every_line_has_time_and_process_and_stderr_is_as_before(tmp_path):
    def body():
        click.echo("by itself", err=True)
        click.echo("in two ", err=True, nl=False)
        click.echo("pieces", err=True)
        say("note: of ours", err=True)
        sys.stderr.write("10 %\r20 %\r30 %\n")
        raise ValueError("no such thing")

    log = tmp_path / "a.log"
    log.write_text("2026-01-01T00:00:00Z 1 of before\n")
    before = time.time()
    result = invoke(body, "--log-file", log)
    first, *found, last = lines_of(log)
    assert first[2] == "of before"
    assert [text for _, _, text in found] == ["by itself", "in two pieces", "note: of ours", "30 %"]
    assert last[2].startswith("tool: an error of amnet itself: ValueError: no such thing")
    assert {process for _, process, _ in (*found, last)} == {str(os.getpid())}
    assert int(before) <= datetime.fromisoformat(last[0]).timestamp() <= time.time()
    assert result.stderr.startswith("by itself\nin two pieces\nnote: of ours\n10 %\r20 %\r30 %\n")


def test_a_quiet_command_still_tells_all_to_its_log(tmp_path):
    def body():
        say("note: a detail", err=True)
        say_wrong("failed: b.jpg")

    result = invoke(body, "--quiet", "--log-file", tmp_path / "a.log")
    assert (result.stdout, result.stderr) == ("", "failed: b.jpg\n")
    assert [text for _, _, text in lines_of(tmp_path / "a.log")] == ["note: a detail", "failed: b.jpg"]


@pytest.mark.parametrize("name", [".", "no/such/folder/a.log"])
def test_a_log_that_cannot_be_written_is_one_line_and_status_2(tmp_path, name):
    result = invoke(lambda: say("never"), "--log-file", tmp_path / name)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"tool: --log-file {tmp_path / name}: cannot be written: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_of_the_log_does_not_end_the_work():
    result = invoke(lambda: [say(f"line {i}", err=True) for i in range(3)] and 0, "--log-file", "/dev/full")
    assert result.exit_code == 0
    wanted = "line 0\nline 1\nline 2\nwarning: --log-file /dev/full lacks lines: No space left on device\n"
    assert result.stderr == wanted


def test_a_line_that_was_cut_by_a_full_disk_does_not_run_into_the_next(tmp_path, monkeypatch):
    log = LogFile(tmp_path / "a.log")
    whole = os.write
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda file, data: whole(file, data[:25]))
        log.add("of which the end is lost")
    log.add("the next")
    log.close()
    first, second = (tmp_path / "a.log").read_text().splitlines()
    assert len(first) == 25
    assert STAMPED.fullmatch(second)[3] == "the next"


def test_two_commands_in_one_log_do_not_mix_within_a_line(tmp_path):
    code = (
        "import sys, click; from amnet_common.commands import OneLineErrors, say\n"
        "click.command('tool', cls=OneLineErrors)(lambda: [say(sys.argv[3] * 300, err=True) for _ in range(400)] and 0)"
        "(sys.argv[1:3])"
    )
    words = [sys.executable, "-c", code, "--log-file", tmp_path / "a.log"]
    processes = [subprocess.Popen([*words, letter], stderr=subprocess.DEVNULL) for letter in "ab"]
    assert [process.wait(60) for process in processes] == [0, 0]
    found = lines_of(tmp_path / "a.log")
    assert sorted({(process, text) for _, process, text in found}) == sorted(
        (str(process.pid), letter * 300) for process, letter in zip(processes, "ab", strict=True)
    )
    assert len(found) == 800
