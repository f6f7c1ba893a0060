"""Every kind of damage is named, and repair marks just the bad rows pending."""

import os
import re

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection import verify as verify_module
from amnet_common.collection.joining import link
from amnet_common.collection.layout import image_dtype
from amnet_common.collection.verify import Problem, repair, verify_rows, verify_structure
from amnet_common.collection.writer import RowWriter
from amnet_common.datasets.records import SplitList
from amnet_common.errors import BusyError, CollectionError

RECORD = image_dtype(5)
SPLITS = {"train_1": SplitList(np.array([0, 1]), np.array([0.1, 0.2]))}
FEATURES = "the features do not match their checksum"
MARK = "the mark does not hold; it counts as pending"


@pytest.fixture
def path(make_collection):
    """a.jpg, b.jpg and d.jpg done, c.jpg failed, e.jpg pending."""
    ids = [f"{letter}.jpg" for letter in "abcde"]
    return make_collection(ids, done=[0, 1, 3], failed={2: "broken"}, splits=SPLITS)


def offset_of(path, dataset: str) -> int:
    with h5py.File(path) as file:
        return file[dataset].id.get_offset()


def flip_bit(path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 4]))


def row_problems(path, quick=False) -> list[Problem]:
    rows = [row for part in Collection(path).parts for row in verify_rows(part, quick)]
    return [problem for row in rows for problem in row.problems]


def test_sound_collection_has_no_problems_and_every_row_is_looked_at(path):
    assert verify_structure(path) == []
    assert [row.problems for row in verify_rows(Collection(path).parts[0])] == [()] * 5


@pytest.mark.parametrize(("row", "view"), [(0, 1), (3, 0)])
def test_bit_of_the_features_is_named_by_image_row_and_view(path, row, view):
    flip_bit(path, offset_of(path, "segments/0000") + (2 * row + view) * 401_408 + 401_407)
    assert row_problems(path) == [Problem(path, row, f"{'abcd'[row]}.jpg: row {row} view {view}: {FEATURES}")]
    assert verify_structure(path) == []


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("quick", [True, False])
def test_bit_of_a_mark_is_named(path, row, quick):
    flip_bit(path, offset_of(path, "images") + row * RECORD.itemsize + RECORD.fields["size"][1])
    assert row_problems(path, quick) == [Problem(path, row, f"{'abc'[row]}.jpg: row {row}: {MARK}")]
    assert verify_structure(path) == []


def test_bit_of_a_pending_row_is_named(path):
    flip_bit(path, offset_of(path, "images") + 4 * RECORD.itemsize + RECORD.fields["sha256"][1])
    assert row_problems(path) == [Problem(path, 4, f"e.jpg: row 4: {MARK}")]


@pytest.mark.parametrize(("table", "row_bytes"), [("views", 40), ("checksums", 8)])
@pytest.mark.parametrize("quick", [True, False])
def test_bit_of_a_box_or_checksum_is_named(path, table, row_bytes, quick):
    flip_bit(path, offset_of(path, table) + 3 * row_bytes + row_bytes - 1)
    assert row_problems(path, quick) == [Problem(path, 3, f"d.jpg: row 3: {MARK}")]


@pytest.mark.parametrize("table", ["labels", "splits/train_1", "split_scores/train_1"])
def test_bit_of_a_static_table_is_named(path, table):
    flip_bit(path, offset_of(path, table))
    with pytest.raises(
        CollectionError, match=rf"{path}: /{table}: expected sha256 \w+, found \w+: the table is damaged"
    ):
        verify_structure(path)


@pytest.fixture
def gap(path):
    """A byte of the file that no dataset and no checksum of HDF5 covers."""
    offset = offset_of(path, "segments/0000") - 1  # page alignment leaves it
    with open(path, "rb") as file:
        file.seek(offset - 15)
        assert file.read(16) == bytes(16)
    return offset


def test_byte_in_a_gap_of_the_metadata_is_seen_by_the_seal(path, gap):
    before = Collection(path).read([0, 1, 3], check=True)
    flip_bit(path, gap)
    np.testing.assert_array_equal(Collection(path).read([0, 1, 3], check=True), before)
    (problem,) = verify_structure(path)
    assert (problem.path, problem.row) == (path, None)
    assert "bytes changed that are never written again" in problem.text
    assert row_problems(path) == []


def test_bit_of_the_seal_itself_is_seen(path):
    flip_bit(path, offset_of(path, "seal"))
    assert [problem.row for problem in verify_structure(path)] == [None]


@pytest.mark.parametrize("change", [lambda file: file.write(b"\0"), lambda file: file.truncate()])
def test_bytes_behind_the_end_are_seen_by_the_seal(path, change):
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"x")
        file.seek(0, os.SEEK_END)
        change(file)
    assert [problem.row for problem in verify_structure(path)] == [None]


def test_seal_holds_while_rows_are_written_and_undone(path):
    with RowWriter(path) as writer:
        writer.write_view(4, 0, np.ones((14, 14, 1024), np.float16))
        writer.undo([0])
        assert verify_structure(path) == []


def test_quick_verification_reads_no_features(path, monkeypatch):
    flip_bit(path, offset_of(path, "segments/0000"))
    part = Collection(path).parts[0]
    monkeypatch.setattr(verify_module, "read_exactly", lambda *_: pytest.fail("features were read"))
    assert [row.problems for row in verify_rows(part, quick=True)] == [()] * 5


def test_pending_row_that_is_half_written_is_no_problem(path, make_collection):
    with RowWriter(path) as writer:
        writer.write_view(4, 1, make_collection.features_of(4, 1))
        assert row_problems(path) == []
        assert verify_structure(path) == []
    assert row_problems(path) == []


def test_every_bad_view_is_named_in_order_of_rows(path):
    start = offset_of(path, "segments/0000")
    for row, view in [(3, 1), (0, 0), (3, 0)]:
        flip_bit(path, start + (2 * row + view) * 401_408)
    flip_bit(path, offset_of(path, "images") + RECORD.itemsize + RECORD.fields["crc32c"][1])
    assert [(problem.row, problem.text) for problem in row_problems(path)] == [
        (0, f"a.jpg: row 0 view 0: {FEATURES}"),
        (1, f"b.jpg: row 1: {MARK}"),
        (3, f"d.jpg: row 3 view 0: {FEATURES}"),
        (3, f"d.jpg: row 3 view 1: {FEATURES}"),
    ]


def test_many_rows_are_all_looked_at(make_collection, monkeypatch):
    monkeypatch.setattr(verify_module, "THREADS", 1)  # 64 rows at a time
    path = make_collection([str(row) for row in range(130)])
    flip_bit(path, offset_of(path, "images") + 129 * image_dtype(3).itemsize + 100)
    rows = list(verify_rows(Collection(path).parts[0]))
    assert [len(row.problems) for row in rows] == [0] * 129 + [1]


def test_verification_that_is_given_up_leaves_no_file_open(path):
    part, before = Collection(path).parts[0], len(os.listdir("/proc/self/fd"))
    rows = verify_rows(part)
    next(rows)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    rows.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_repair_marks_just_the_bad_rows_pending_and_changes_no_other_byte(path):
    start, marks = offset_of(path, "segments/0000"), offset_of(path, "images")
    for offset in (start, start + 401_408, marks + 2 * RECORD.itemsize + 60):  # both views of row 0; the mark of row 2
        flip_bit(path, offset)
    before = np.fromfile(path, np.uint8)
    assert repair(row_problems(path)) == 2
    changed = np.flatnonzero(np.fromfile(path, np.uint8) != before)
    assert set((changed - marks) // RECORD.itemsize) == {0, 2}
    collection = Collection(path)
    assert (collection.status.tolist(), collection.damaged.tolist()) == ([0, 1, 0, 1, 0], [])
    assert collection.ids[:3] == ("a.jpg", "b.jpg", "c.jpg")
    assert (row_problems(path), verify_structure(path)) == ([], [])
    collection.read([1, 3], check=True)


def test_repaired_row_can_be_filled_again(path, fill):
    flip_bit(path, offset_of(path, "segments/0000"))
    repair(row_problems(path))
    fill(path, {0: 7})
    assert (Collection(path).read(0, check=True) == 7).all()


def test_repair_is_refused_while_a_writer_holds_the_rows(path):
    flip_bit(path, offset_of(path, "segments/0000"))
    problems = row_problems(path)
    with RowWriter(path):
        before = path.read_bytes()
        message = f"{path}: expected rows 0 to 0 for this process alone, found another writing there"
        with pytest.raises(BusyError, match=re.escape(message)):
            repair(problems)
        assert path.read_bytes() == before
    assert repair(problems) == 1


def test_problems_of_the_file_as_a_whole_are_not_repaired(path, gap):
    flip_bit(path, gap)
    before = path.read_bytes()
    assert repair(verify_structure(path)) == 0
    assert path.read_bytes() == before


def test_problems_of_a_link_name_the_part_and_its_row_and_are_repaired_there(make_part, tmp_path):
    one, two = make_part("one.h5", {"a": 1, "b": 2}), make_part("two.h5", {"c": 3, "d": 4})
    linked = link([one, two], tmp_path / "all.h5").collection.path
    for path in (one, two):
        flip_bit(path, offset_of(path, "segments/0000") + 2 * 401_408)
    problems = row_problems(linked)
    assert [(problem.path, problem.row, problem.text[:2]) for problem in problems] == [(one, 1, "b:"), (two, 1, "d:")]
    assert repair(problems) == 2
    assert Collection(linked).status.tolist() == [1, 0, 1, 0]


def test_seal_of_the_link_and_of_each_part_is_checked(make_part, tmp_path):
    paths = [make_part("one.h5", {"a": 1}), make_part("two.h5", {"b": 2})]
    linked = link(paths, tmp_path / "all.h5").collection.path
    for path in (linked, paths[1]):
        with open(path, "ab") as file:
            file.write(b"x")
    assert {problem.path for problem in verify_structure(linked)} == {linked, paths[1]}
