"""One command at a time for an output, whatever the process and however it ends."""

import os
import signal
import subprocess
import sys

import pytest

from amnet_common.errors import BusyError, OutputError
from amnet_common.only_writer import clear_locks, lock_of, only_writer

HOLD = """
import sys, time
from pathlib import Path
from amnet_common.only_writer import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(name="holder")
def _holder(tmp_path):
    """A process that holds the lock of tmp_path/out."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("holder")
def test_a_second_command_is_refused_in_one_line(tmp_path):
    message = f"--out {tmp_path}/out: expected to be the only command that writes it, found another at work"
    with pytest.raises(BusyError, match=message), only_writer(tmp_path / "out"):
        pass


@pytest.mark.usefixtures("holder")
def test_a_link_to_an_output_has_the_same_lock(tmp_path):
    (tmp_path / "other").symlink_to(tmp_path / "out")
    with pytest.raises(BusyError), only_writer(tmp_path / "other"):
        pass


def test_a_killed_command_leaves_no_lock_behind(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_writer(tmp_path / "out"):
        assert lock_of(tmp_path / "out").exists()
    assert os.listdir(tmp_path) == []


def test_two_in_one_process_exclude_each_other_too(tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(BusyError), only_writer(tmp_path / "out"):
        pass
    with only_writer(tmp_path / "out"):
        pass


def test_a_link_planted_under_the_name_of_the_lock_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    lock_of(tmp_path / "out").symlink_to(victim)
    with pytest.raises(OutputError, match="cannot be written: "), only_writer(tmp_path / "out"):
        pass
    assert not victim.exists()


def test_of_many_who_come_and_go_only_one_is_in_at_a_time(tmp_path):
    """Each adds one to a number that it reads before and writes after; none is lost."""
    code = """
import sys, time
from pathlib import Path
from amnet_common.errors import BusyError
from amnet_common.only_writer import only_writer
number, done = Path(sys.argv[1]) / "number", 0
while done < 30:
    try:
        with only_writer(Path(sys.argv[1]) / "out"):
            value = int(number.read_text())
            number.write_text(str(value + 1))
            done += 1
    except BusyError:
        time.sleep(0.0005)
"""
    (tmp_path / "number").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "120"


@pytest.mark.usefixtures("holder")
def test_locks_of_killed_commands_below_a_folder_are_removed_and_held_ones_stay(tmp_path):
    held, left = lock_of(tmp_path / "out"), lock_of(tmp_path / "split-1")
    left.touch()
    clear_locks(tmp_path.parent)
    assert (held.exists(), left.exists()) == (True, False)
