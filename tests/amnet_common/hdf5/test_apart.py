"""Files that HDF5 does not survive are one clear line: it reads them in a process that may die."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest
from hdf5_metadata import TREE, blocks, lookup3, with_byte

from amnet_common.collection import Collection
from amnet_common.collection.layout import image_dtype
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError
from amnet_common.hdf5 import apart
from amnet_common.hdf5.facts import Question, as_dtype, described, facts

SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 1}, 0, "float32", "float16")
WITHOUT_END = "import itertools; a.facts = lambda _: all(itertools.repeat(True))"
WITHOUT_BOUND = "a.facts = lambda _: bytearray(4 * 2**30)"


@pytest.fixture
def path(tmp_path):
    splits = {"train_1": SplitList(np.array([0]), np.array([0.5]))}  # so many names that the root has a tree of them
    dataset = Dataset("test", tmp_path, ("a.jpg", "b.jpg"), splits)
    create_skeleton(tmp_path / "t.h5", dataset, 2, SPEC, {"mode": "e"}, {})
    return tmp_path / "t.h5"


@pytest.fixture
def question(path):
    return Question(str(path), ("format",), {"labels": ()}, {"splits": ()}, 10)


@pytest.fixture
def asker():
    """One whose child is of this test alone."""
    asker = apart._Asker()
    yield asker
    asker.end()


def root_tree(content: bytes) -> tuple[int, int]:
    """The B-tree of the names in the root group: where its header is, and its checksum."""
    return next(block for block in blocks(content) if content[block[0] :].startswith(b"BTHD"))


def test_checksums_are_those_that_hdf5_has_written(path):
    begin, end = root_tree(path.read_bytes())
    assert (lookup3(b""), end - begin) == (0xDEADBEEF, TREE.size)


@pytest.mark.parametrize(("at", "value", "name"), [(10, 0, "SIGFPE"), (5, 3, "SIGSEGV")])
def test_a_byte_of_the_root_groups_tree_that_kills_hdf5_is_one_line(path, at, value, name):
    content = path.read_bytes()
    path.write_bytes(with_byte(content, root_tree(content), at, value))
    with pytest.raises(CollectionError, match=f"a file that HDF5 cannot read .the HDF5 library crashes on it: {name}"):
        Collection(path)


def test_after_a_deadly_file_the_next_is_read(path, tmp_path):
    content = path.read_bytes()
    (tmp_path / "bad.h5").write_bytes(with_byte(content, root_tree(content), 10, 0))
    for _ in range(2):
        with pytest.raises(CollectionError, match="crashes"):
            Collection(tmp_path / "bad.h5")
        assert Collection(path).ids == ("a.jpg", "b.jpg")


def test_a_file_over_which_hdf5_computes_without_end_is_one_line(asker, question, monkeypatch):
    script = f"import amnet_common.hdf5.apart as a; {WITHOUT_END}; a.MOST_SECONDS = 0; a.serve(int(sys.argv[1]))"
    monkeypatch.setattr(apart, "SCRIPT", f"import sys; sys.path[:] = sys.argv[2:]; {script}")
    started = time.monotonic()
    with pytest.raises(apart.DeadlyError, match="computes for more than"):
        asker.ask(question)
    assert time.monotonic() - started < 60


def test_the_memory_that_a_file_may_take_is_bounded(asker, question, monkeypatch):
    script = f"import amnet_common.hdf5.apart as a; {WITHOUT_BOUND}; a.serve(int(sys.argv[1]))"
    monkeypatch.setattr(apart, "SCRIPT", f"import sys; sys.path[:] = sys.argv[2:]; {script}")
    with pytest.raises(apart.DeadlyError, match="status 1"):
        asker.ask(question)


def test_the_child_says_what_this_process_would(asker, question):
    assert asker.ask(question) == facts(question)
    assert asker.child


def test_a_child_that_something_else_has_killed_is_started_again(asker, question):
    asker.ask(question)
    os.kill(asker.child.process.pid, signal.SIGKILL)
    assert asker.ask(question) == facts(question)


def test_after_an_interrupt_the_next_answer_is_to_the_next_question(asker, question, tmp_path, monkeypatch):
    asker.ask(question)

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(apart, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            asker.ask(question)
    other = Question(str(tmp_path / "none.h5"), ("format",), {}, {}, 10)
    assert "unreadable" in asker.ask(other)
    assert asker.ask(question) == facts(question)


def test_what_an_interpreter_prints_as_it_starts_does_no_harm(asker, question, monkeypatch):
    monkeypatch.setattr(apart, "SCRIPT", "print('hello'); " + apart.SCRIPT)
    assert asker.ask(question) == facts(question)
    assert asker.child


def test_want_of_processes_is_not_called_damage(path, asker, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(apart, "_asker", asker)
    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(OSError, match=f"Resource temporarily unavailable: '{path}'"):
        Collection(path)


def test_a_forked_process_asks_a_child_of_its_own(path):
    Collection(path)
    pid = os.fork()
    if not pid:
        os._exit(0 if Collection(path).ids == ("a.jpg", "b.jpg") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Collection(path).ids == ("a.jpg", "b.jpg")


@pytest.mark.parametrize("python", ["", "/nowhere/python", "/bin/false"])
def test_without_a_second_interpreter_files_are_read_in_this_process(asker, question, monkeypatch, python):
    monkeypatch.setattr(sys, "executable", python)
    assert asker.ask(question) == facts(question)
    assert asker.child is None


def test_the_child_ends_with_the_process_that_asked_it(path):
    script = f"""
        import os, signal
        from amnet_common.collection import Collection
        from amnet_common.hdf5 import apart
        Collection({str(path)!r})
        print(apart._asker.child.process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    child = int(ended.stdout)
    for _ in range(600):
        try:
            os.kill(child, 0)
            with open(f"/proc/{child}/stat") as file:
                if file.read().split()[2] == "Z":  # dead, and nobody's to wait for
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail("the child lives on")


def test_a_file_that_this_process_holds_open_with_a_lock_is_read(path):
    with h5py.File(path):
        assert Collection(path).ids == ("a.jpg", "b.jpg")


@pytest.mark.parametrize("dtype", [image_dtype(7), np.dtype("<f2"), np.dtype("u1"), np.dtype((">i4", (2, 3)))])
def test_a_dtype_comes_back_from_its_description(dtype):
    assert as_dtype(described(dtype)) == dtype
