"""However many parts a link has, few files are open; one in use is not closed, and one that was replaced is told."""

import gc
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.open_files import OpenFiles, most_files, open_files
from amnet_common.errors import CollectionError

PARTS = 40
COMMANDS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
import numpy as np
from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.collection.open_files import open_files

def run(*arguments):
    try:
        main(list(arguments))
    except SystemExit as end:
        assert not end.code, (arguments, end.code)

linked = Collection(sys.argv[1])
found = linked.read(np.arange(len(linked)), 1, check=True)
assert found[:, 0, 0, 0].tolist() == [row + 1.5 for row in range(len(linked))]
assert len(open_files) <= 12, len(open_files)
run("info", sys.argv[1])
run("verify", sys.argv[1])
run("compact", sys.argv[1], "--out", sys.argv[2])
assert np.array_equal(Collection(sys.argv[2]).read(np.arange(len(linked)), 1), found)
"""


@pytest.fixture
def linked(tmp_path, make_part):
    """A function of how many parts: their link, of one image each; part n holds n + 1, its second view n + 1.5."""

    def make(parts: int) -> Path:
        paths = [make_part(f"part-{number}.h5", {f"{number}.jpg": number + 1}) for number in range(parts)]
        link(paths, tmp_path / "linked.h5")
        return tmp_path / "linked.h5"

    return make


@pytest.fixture
def few_files(monkeypatch):
    """Three files at most."""
    monkeypatch.setattr("amnet_common.collection.open_files.MOST", 3)


def test_everything_works_on_more_parts_than_a_process_may_open_files(linked, tmp_path):
    command = [sys.executable, "-c", COMMANDS, str(linked(PARTS)), str(tmp_path / "whole.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_most_half_of_what_the_system_allows_and_256(monkeypatch):
    allowed = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (allowed[-1], 4096))
    found = []
    for limit in (1, 20, 512, 1024, -1):
        allowed.append(limit)
        found.append(most_files())
    assert found == [1, 10, 256, 256, 256]


@pytest.mark.usefixtures("few_files")
def test_the_file_that_was_used_longest_ago_is_closed(linked):
    parts, files = Collection(linked(5)).parts, OpenFiles()
    for number in (0, 1, 2, 0, 3):  # of 0, 1 and 2 it is 1 that makes room for 3
        with files.using(parts[number]) as file:
            assert os.fstat(file).st_ino == os.stat(parts[number].path).st_ino
    kept = []
    for part in (parts[0], parts[2], parts[3]):
        part.path.unlink()
        with files.using(part) as file:
            kept.append(os.fstat(file).st_nlink)
    assert kept == [0, 0, 0]
    parts[1].path.unlink()
    with pytest.raises(CollectionError, match=r"part-1\.h5: expected the file that was opened, found it gone"), \
            files.using(parts[1]):  # fmt: skip
        pass


@pytest.mark.usefixtures("few_files")
def test_a_file_in_use_stays_open_even_if_there_are_too_many(linked):
    parts, files = Collection(linked(6)).parts, OpenFiles()

    def nested(number: int) -> None:
        if number == len(parts):
            assert len(files) == 6
            return
        with files.using(parts[number]) as file:
            nested(number + 1)
            assert os.fstat(file).st_ino == os.stat(parts[number].path).st_ino

    nested(0)
    parts.append(Collection(parts[0].path).parts[0])
    with files.using(parts[6]):
        assert len(files) == 3


@pytest.mark.usefixtures("few_files")
def test_threads_that_read_at_once_from_many_parts_get_the_features_of_each(linked):
    collection, draw = Collection(linked(12)), np.random.default_rng(0)

    def read(rows: np.ndarray) -> bool:
        return collection.read(rows, 0, check=True)[:, 0, 0, 0].tolist() == (rows + 1.0).tolist()

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(read, [draw.integers(0, 12, 9) for _ in range(60)]))
    assert len(open_files) <= 3 + 6 * collection.threads


def test_files_are_closed_when_the_collection_goes(linked):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    collection = Collection(linked(5))
    collection.read(range(5))
    assert len(os.listdir("/proc/self/fd")) >= before + 5
    del collection
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("few_files")
def test_a_part_that_is_replaced_after_its_file_was_closed_is_not_read(linked, make_part):
    collection = Collection(linked(5))
    for row in range(5):
        collection.read([row])
    os.replace(make_part("other.h5", {"0.jpg": 7}), collection.parts[0].path)
    with pytest.raises(CollectionError, match="found another of its name: it was replaced meanwhile"):
        collection.read([0])


def _read_in_child(collection: Collection) -> None:
    inherited = len(open_files)
    found = collection.read(range(len(collection)))[:, 0, 0, 0].tolist()
    os._exit(0 if inherited == 0 and found == [1.0, 2.0, 3.0] else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # Python 3.12 on: what is tested here
def test_a_process_that_is_forked_off_opens_files_of_its_own(linked):
    collection = Collection(linked(3))
    collection.read(range(3))
    child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(collection,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert collection.read([2])[0, 0, 0, 0] == 3.0
