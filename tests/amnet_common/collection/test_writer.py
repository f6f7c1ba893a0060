"""Filling rows: a row counts as done only when its mark is on the disk."""

import os
import re

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection import writer as writer_module
from amnet_common.collection.layout import PENDING
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.errors import OutputError

BOXES = np.arange(10, dtype=np.float32).reshape(2, 5)


def write_row(writer: RowWriter, row: int, make_collection, facts=ImageFacts()) -> None:  # noqa: B008 (frozen)
    for view in range(2):
        writer.write_view(row, view, make_collection.features_of(row, view))
    writer.finish(row, facts, BOXES)


def test_row_is_pending_until_its_mark_is_synced(make_collection):
    path = make_collection()
    with RowWriter(path) as writer:
        write_row(writer, 1, make_collection)
        assert Collection(path).status.tolist() == [0, 0, 0, 0]
        writer.sync()
        assert Collection(path).status.tolist() == [0, 1, 0, 0]


def test_marks_are_synced_by_themselves_after_a_bounded_number_of_rows(make_collection, monkeypatch):
    monkeypatch.setattr(writer_module, "SYNC_ROWS", 2)
    path = make_collection()
    with RowWriter(path) as writer:
        for row, wanted in ((0, 0), (1, 2), (2, 2)):
            write_row(writer, row, make_collection)
            assert (Collection(path).status == 1).sum() == wanted


def test_features_are_on_the_disk_before_the_mark(make_collection, monkeypatch):
    path, steps = make_collection(), []
    with RowWriter(path) as writer:
        images = writer._marks
        pwrite, fsync = os.pwrite, os.fsync

        def logged_write(file, data, offset):
            steps.append("mark" if images.offset <= offset < images.end else "bytes")
            return pwrite(file, data, offset)

        monkeypatch.setattr(os, "pwrite", logged_write)
        monkeypatch.setattr(os, "fsync", lambda file: steps.append("sync") or fsync(file))
        write_row(writer, 1, make_collection)
        writer.sync()
    assert steps == ["bytes"] * 4 + ["sync", "mark", "sync"]


def test_facts_and_boxes_come_back(make_collection):
    path = make_collection()
    facts = ImageFacts(bytes(range(32)), 2**40, -5, 640, 480)
    with RowWriter(path) as writer:
        write_row(writer, 3, make_collection, facts)
    with h5py.File(path) as file:
        image = file["images"][3]
        np.testing.assert_array_equal(file["views"][3], BOXES)
    assert (bytes(image["sha256"]), image["size"], image["mtime_ns"]) == (facts.sha256, facts.size, facts.mtime_ns)
    assert (image["width"], image["height"]) == (640, 480)


def test_refresh_sees_what_another_writer_has_marked(make_collection):
    path = make_collection()
    collection = Collection(path)
    with RowWriter(path) as writer:
        write_row(writer, 0, make_collection)
    assert collection.status[0] == 0
    collection.refresh()
    assert collection.status[0] == 1
    np.testing.assert_array_equal(collection.read(0, 1)[0], make_collection.features_of(0, 1))


def test_two_writers_may_fill_disjoint_rows(make_collection):
    path = make_collection()
    with RowWriter(path, 0, 2) as first, RowWriter(path, 2) as second:
        for row, writer in enumerate([first, first, second, second]):
            write_row(writer, row, make_collection)
    collection = Collection(path)
    found = collection.read(range(4), 1, check=True)
    assert all(np.array_equal(found[row], make_collection.features_of(row, 1)) for row in range(4))


def test_failed_row_may_be_done_later(make_collection):
    path = make_collection(failed={1: "missing file"})
    with RowWriter(path) as writer:
        write_row(writer, 1, make_collection)
    collection = Collection(path)
    assert (collection.status[1], collection.error(1)) == (1, "")


def test_long_reason_is_cut_between_characters(make_collection):
    collection = Collection(make_collection(failed={0: "x" + "ü" * 300}))
    assert collection.error(0) == "x" + "ü" * 99


def test_full_disk_is_one_clear_error_and_finished_rows_stay(make_collection, monkeypatch):
    path = make_collection(done=[0])

    def full(*_):
        raise OSError(28, "No space left on device")

    with RowWriter(path) as writer:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(OutputError, match=re.escape(f"--out {path}: cannot be written: No space left on device")):
            writer.write_view(1, 0, make_collection.features_of(1, 0))
    assert Collection(path).status.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("features", [np.zeros((14, 14, 512), np.float16), np.zeros((14, 14, 1024), np.float32)])
def test_features_of_another_shape_or_dtype_are_our_own_mistake(make_collection, features):
    with RowWriter(make_collection()) as writer, pytest.raises(AssertionError):
        writer.write_view(0, 0, features)


def test_after_an_error_of_the_disk_nothing_is_marked(make_collection, monkeypatch):
    path, real, calls = make_collection(), os.fsync, []

    def fsync_that_fails_once(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        real(descriptor)

    writer = RowWriter(path)
    writer.finish(0, ImageFacts(), np.zeros((2, 5)))
    monkeypatch.setattr(os, "fsync", fsync_that_fails_once)
    with pytest.raises(OutputError, match="Input/output error"), writer:
        writer.sync()
    assert Collection(path).status[0] == PENDING


def test_file_that_is_replaced_while_it_is_filled_is_noticed(make_collection):
    path = make_collection()
    other = make_collection(name="other.h5")
    writer = RowWriter(path)
    write_row(writer, 1, make_collection)
    os.replace(other, path)
    message = f"--out {path}: expected the file that is being filled, found it replaced or removed"
    with pytest.raises(OutputError, match=re.escape(message)), writer:
        pass
    assert Collection(path).status.tolist() == [0, 0, 0, 0]
