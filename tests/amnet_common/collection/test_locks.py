"""One writer for each row, whatever the process and however it ends."""

import re
import subprocess
import sys

import h5py
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.writer import RowWriter
from amnet_common.errors import BusyError

HOLDER = """
import sys
from pathlib import Path
from amnet_common.collection.writer import RowWriter
path, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with RowWriter(path, first, last):
    open(path, "rb").close()  # another descriptor of the same file: a lock of the classic kind would go with it
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """hold(path, first, last) -> another process that has these rows until its standard input is closed."""
    processes = []

    def start(path, first, last):
        words = [sys.executable, "-c", HOLDER, str(path), str(first), str(last)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"holds\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_rows_of_another_process_are_refused_and_others_are_not(make_collection, hold):
    path = make_collection()
    hold(path, 1, 3)
    for first, last in ((1, 3), (0, 2), (2, None), (0, None)):
        message = (f"{path}: expected rows {first} to {(last or 4) - 1} for this process alone, found another writing "
                   "there; wait, or give each process rows of its own with --shard I/N")  # fmt: skip
        with pytest.raises(BusyError, match=re.escape(message)):
            RowWriter(path, first, last)
    with RowWriter(path, 0, 1), RowWriter(path, 3):
        pass


def test_lock_of_a_killed_process_is_gone(make_collection, hold):
    path = make_collection()
    process = hold(path, 0, 4)
    with pytest.raises(BusyError):
        RowWriter(path)
    process.kill()
    process.wait()
    with RowWriter(path):
        pass


def test_lock_of_a_process_that_ends_is_gone(make_collection, hold):
    path = make_collection()
    process = hold(path, 0, 4)
    process.communicate(b"", timeout=60)
    assert process.returncode == 0
    with RowWriter(path):
        pass


def test_locked_file_can_be_read_by_h5py_and_collection(make_collection, hold):
    path = make_collection(done=[0])
    hold(path, 0, 4)
    with h5py.File(path) as file:
        assert (file["features"][0, 1] == make_collection.features_of(0, 1)).all()
    assert (Collection(path).read(0, 1, check=True) == make_collection.features_of(0, 1)).all()


def test_second_writer_of_the_same_process_is_refused_too(make_collection):
    path = make_collection()
    with RowWriter(path, 0, 2):
        with pytest.raises(BusyError, match="expected rows 1 to 3 for this process alone"):
            RowWriter(path, 1)
        with RowWriter(path, 2):
            pass
    with RowWriter(path):
        pass


def test_closing_another_descriptor_of_the_file_keeps_the_lock(make_collection):
    path = make_collection(done=[0])
    with RowWriter(path):
        open(path, "r+b").close()
        with h5py.File(path):
            pass
        Collection(path).read(0)
        with pytest.raises(BusyError):
            RowWriter(path)


@pytest.mark.parametrize("row", [0, 2, 4])
def test_writer_of_no_rows_locks_none(make_collection, row):
    path = make_collection()
    with RowWriter(path, row, row), RowWriter(path):
        pass


def test_refused_writer_leaves_the_lock_of_the_first_as_it_is(make_collection):
    path = make_collection()
    with RowWriter(path):
        for _ in range(2):
            with pytest.raises(BusyError):
                RowWriter(path)
