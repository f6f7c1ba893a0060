"""`--devices`: one process a card fills its part of one file; processes of the CPU stand for cards."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from amnet_common.machine.cards import parse_devices, present_devices
from extract.sharing import row_ranges
from tests.support.minded import minded

LAUNCHER = Path(__file__).parents[1] / "support" / "light_extract.py"
CHEAP = ("--augs", "1", "--weights", "untrained", "--precision", "float32", "--threads", "1")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(dataset, out, *options, **environment) -> the command's process at its end, its trunk a light one."""
    monkeypatch.chdir(tmp_path)

    def start(dataset, out, *options, **environment):
        words = ["--dataset", "folder", "--root", dataset.image_root, "--out", out, *CHEAP, *options]
        return subprocess.Popen([sys.executable, "-P", LAUNCHER, *map(str, words)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, start_new_session=True,
                                env=os.environ | environment)  # fmt: skip

    def finish(*words, **environment):
        with start(*words, **environment) as process:
            process.output, process.notes = process.communicate(timeout=300)
        assert "Traceback" not in process.notes, process.notes
        return process

    finish.start = start
    return finish


def test_two_processes_give_the_bytes_of_one(pictures, run, extract, unlike_rows):
    dataset, words = pictures(7, broken=(5,)), ("--dtype", "uint8")  # whose scales are of all rows
    two = run(dataset, "two.h5", *words, "--devices", "cpu,cpu")
    one = extract(dataset, "--out", "one.h5", *words, "--device", "cpu", *CHEAP)
    assert (two.returncode, one.status) == (1, 1)  # a picture fails
    assert unlike_rows("two.h5", "one.h5") == []
    assert Collection("two.h5").spec == Collection("one.h5").spec
    assert "6 images done (6 now), 1 failed, 0 pending" in two.output
    assert two.output.count("\n") == 1
    assert two.notes.count("of 7 images to do") == 1
    assert two.notes.count("failed: 005.png: ") == 1


def test_killed_process_is_named_and_the_same_command_computes_what_it_left(pictures, run, extract, unlike_rows):
    dataset, words = pictures(8), ("--batch-size", "2")
    cut = run(dataset, "t.h5", *words, "--devices", "cpu,cpu", DIE_AT_ROW="6")
    assert cut.returncode == 2
    assert ("process 2 of 2 (cpu): killed by SIGKILL (main memory ran out, say); 2 of its 4 images are left for the "
            "same command\n") in cut.notes  # fmt: skip
    assert "6 images done" in cut.output
    assert Collection("t.h5").status.tolist() == [1] * 6 + [0] * 2
    again = run(dataset, "t.h5", *words, "--devices", "cpu,cpu")
    assert (again.returncode, "8 images done (2 now), 0 failed, 0 pending" in again.output) == (0, True)
    extract(dataset, "--out", "one.h5", "--device", "cpu", *words, *CHEAP)
    assert unlike_rows("t.h5", "one.h5") == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)]
)
def test_stopped_command_stops_its_processes_which_keep_what_is_finished(pictures, run, extract, number, status):
    dataset = pictures(12)
    extract(dataset, "--limit", "1", "--batch-size", "2", "--device", "cpu", *CHEAP)  # makes the file
    collection = Collection("t.h5")
    with minded(number):
        process = run.start(dataset, "t.h5", "--devices", "cpu,cpu", "--batch-size", "2", SLOW="0.5")
    with process:
        while (collection.status == 1).sum() < 2 and process.poll() is None:
            time.sleep(0.05)
            collection.refresh()
        os.killpg(process.pid, number)  # as a terminal sends Ctrl-C, or that it has gone, to all of them
        _, rest = process.communicate(timeout=300)
    assert process.returncode == status
    assert rest.endswith("interrupted. t.h5 keeps what is finished; the same command again goes on from there\n")
    assert ("Traceback" in rest, "process 1 of 2" in rest) == (False, False)
    collection.refresh()
    done = np.flatnonzero(collection.status == 1)
    assert 2 <= len(done) < 12
    collection.read(done, np.zeros(len(done), np.int64), check=True)


def test_dry_run_promises_as_many_times_the_rate_of_one_card(pictures, extract, monkeypatch):
    monkeypatch.setattr("extract.running.probe_rate", lambda *_: 100.0)
    monkeypatch.setattr("extract.running.probe_pictures", lambda *_: 40.0)
    planned = extract(pictures(3), "--devices", "cpu,cpu,cpu", "--dry-run")
    assert (planned.status, "speed      120.0 views/s, probed: " in planned.stdout) == (0, True)
    assert "3 processes, on cpu, cpu, cpu" in planned.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("",), "--devices: expected all, or cards such as 0,1 or cuda:0,cuda:1, found ''"),
        (("many",), "--devices: expected all, or cards such as 0,1 or cuda:0,cuda:1, found 'many'"),
        (("0,,1",), "--devices: expected all, or cards such as 0,1 or cuda:0,cuda:1, found '0,,1'"),
        (("1,cuda:1",), "--devices: expected each card once, found cuda:1 again in '1,cuda:1'"),
        (("cpu,0",), "--devices: expected cards, or processes of the CPU, found both in 'cpu,0'"),
        (("0,7",), "--devices: expected cards that are there (cuda:0 to cuda:1), found cuda:7"),
        (("0,1", "--device", "cpu"), "--devices: expected without --device, found --device cpu too; say one of both"),
    ],
)
def test_wrong_list_of_cards_is_one_line(pictures, extract, monkeypatch, words, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused = extract(pictures(2), "--devices", *words)
    assert (refused.status, refused.stdout, refused.stderr) == (2, "", f"main: {message}\n")
    assert not os.path.exists("t.h5")


def test_all_are_the_cards_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert present_devices(parse_devices("all")) == ("cuda:0", "cuda:1", "cuda:2")
    assert present_devices(parse_devices("2, cuda:00")) == ("cuda:2", "cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="found none; --device cpu computes without"):
        present_devices(parse_devices("all"))


def test_cards_of_other_kinds_do_not_fill_one_file(pictures, extract, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: {"cuda:0": "H100", "cuda:1": "A100"}[device])
    refused = extract(pictures(2), "--devices", "all")
    message = "expected cards of one kind, as the last bits of features differ, found H100 (cuda:0), A100 (cuda:1)"
    assert (refused.status, message in refused.stderr) == (2, True)


@given(st.sets(st.integers(10, 60)), st.integers(1, 8))
def test_rows_are_shared_evenly_and_ranges_cover_the_whole_without_overlap(rows, count):
    todo, count = sorted(rows), min(count, max(1, len(rows)))
    found = row_ranges(todo, range(10, 61), count)
    assert (found[0].start, found[-1].stop, len(found)) == (10, 61, count)
    assert all(one.stop == other.start for one, other in pairwise(found))
    sizes = [sum(row in part for row in todo) for part in found]
    assert max(sizes) - min(sizes) <= 1
