"""`amnet-cache compact` and `remove`: the same bytes in one file; no byte of what is removed in any."""

import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.layout import DONE, PENDING
from amnet_common.collection.writer import RowWriter


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def linked(make_part, tmp_path):
    """all.h5: a, b done and c pending in one part; f, d, e done in another."""
    parts = [make_part("one.h5", {"a": 1, "b": 2, "c": None}), make_part("two.h5", {"f": 6, "d": 4, "e": 5})]
    return link(parts, tmp_path / "all.h5").collection


def everything(collection):
    done = np.flatnonzero(collection.status == DONE)
    views = [collection.read(done, view, check=True).tobytes() for view in range(collection.views)]
    return (collection.ids, collection.status.tolist(), views, collection.checksums.tobytes(),
            collection.boxes.tobytes(), collection.labels.tobytes())  # fmt: skip


def test_compacted_file_has_the_bytes_of_the_link(linked):
    before = everything(linked)
    result = run("compact", linked.path)
    assert result.stdout == f"{linked.path}: 6 images: 5 done, 0 failed, 1 pending, in one file\n"
    after = Collection(linked.path)
    assert (after.linked, everything(after)) == (False, before)
    assert run("verify", linked.path).exit_code == 0


def test_parts_that_are_not_its_own_stay(linked):
    run("compact", linked.path)
    assert all(part.path.exists() for part in linked.parts)


def test_new_file_leaves_the_old_one_as_it_is(linked, tmp_path):
    before = everything(linked)
    assert run("compact", linked.path, "--out", tmp_path / "one-file.h5").exit_code == 0
    assert Collection(linked.path).linked
    assert everything(Collection(tmp_path / "one-file.h5")) == before
    assert run("compact", linked.path, "--out", tmp_path / "one-file.h5").exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.h5", "one-file.h5", "one.h5", "two.h5"]


def test_one_file_is_nothing_to_compact(make_part):
    result = run("compact", make_part("one.h5", {"a": 1}))
    assert (result.exit_code, "already; nothing to do" in result.stdout) == (0, True)


def test_damaged_features_stop_it_and_the_old_file_stays(linked):
    part = linked.parts[1]
    with open(part.path, "r+b") as file:
        file.seek(part.planes.features.at(1))
        file.write(b"\xff\xff")
    result = run("compact", linked.path)
    assert (result.exit_code, "the features are damaged" in result.stderr) == (2, True)
    assert Collection(linked.path).linked


def test_full_disk_stops_it_and_the_old_file_stays(linked, monkeypatch):
    before = everything(linked)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("amnet_common.collection.writer.os.pwrite", full)
        assert run("compact", linked.path).exit_code == 75
    assert everything(Collection(linked.path)) == before
    assert run("compact", linked.path).exit_code == 0
    assert everything(Collection(linked.path)) == before


def test_rows_that_another_process_fills_meanwhile_are_copied_too(linked, monkeypatch, fill):
    from amnet_common.collection import copying

    usual, times = copying._copy, []

    def slow(*args):
        usual(*args)
        if not times:
            fill(linked.parts[0].path, {2: 3})
        times.append(1)

    monkeypatch.setattr(copying, "_copy", slow)
    run("compact", linked.path)
    collection = Collection(linked.path)
    assert collection.status.tolist() == [DONE] * 6
    assert collection.read([2], 0, check=True)[0, 0, 0, 0] == 3


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def test_removed_images_leave_neither_bytes_nor_names_in_a_file(make_part):
    path = make_part("one.h5", {"anna.jpg": 1, "b.jpg": 2, "c.jpg": 3})
    removed = Collection(path).read([0, 0], [0, 1]).tobytes()
    old = os.open(path, os.O_RDONLY)  # another name of the file, in a backup say, has lost the features too
    result = run("remove", path, "anna.jpg")
    assert (result.exit_code, Collection(path).ids) == (0, ("b.jpg", "c.jpg"))
    for data in (bytes_of(path), os.pread(old, 2**30, 0)):
        assert removed[:1000] not in data
    assert b"anna" not in bytes_of(path)
    os.close(old)
    assert run("verify", path).exit_code == 0


def test_lists_and_scores_of_the_others_stay(make_collection, fill):
    from amnet_common.datasets import SplitList

    path = make_collection(ids=["a", "b", "c"], splits={"train_1": SplitList(np.array([2, 0]), np.array([0.5, 0.25]))})
    fill(path, {0: 1, 1: 2, 2: 3})
    run("remove", path, "a")
    left = Collection(path)
    assert (left.splits["train_1"].rows.tolist(), left.splits["train_1"].scores.tolist()) == ([1], [0.5])


def test_link_of_parts_elsewhere_loses_features_and_name_and_says_what_stays(linked):
    removed = linked.read([1], [0]).tobytes()
    result = run("remove", linked.path, "b")
    assert Collection(linked.path).ids == ("a", "c", "f", "d", "e")
    assert removed not in bytes_of(linked.parts[0].path)
    assert "is in another folder: the features are overwritten, the names stay there" in result.stderr


def test_unknown_image_is_named_with_what_was_meant_and_nothing_is_removed(make_part):
    path = make_part("one.h5", {"a/One.jpg": 1, "b": 2})
    result = run("remove", path, "b", "a/one.jpg")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert re.search(r"found 'a/one.jpg' and 0 more that it does not hold.*a/One\.jpg", result.stderr)
    assert len(Collection(path)) == 2
    assert run("remove", path, "b", "a/one.jpg", "--ignore-missing").exit_code == 0
    assert Collection(path).ids == ("a/One.jpg",)


def test_all_images_are_not_removed(make_part):
    result = run("remove", make_part("one.h5", {"a": 1}), "a")
    assert (result.exit_code, "remove the file itself" in result.stderr) == (2, True)


def test_list_of_ids_as_windows_writes_it(make_part, tmp_path):
    path = make_part("one.h5", {"a": 1, "b": 2, "c": 3})
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\nb\r\n")
    assert run("remove", path, "--list", tmp_path / "ids.txt").exit_code == 0
    assert Collection(path).ids == ("c",)


def test_collection_that_is_being_filled_is_busy(make_part):
    path = make_part("one.h5", {"a": 1, "b": 2})
    with RowWriter(path):
        result = run("remove", path, "a")
    assert "found another writing there" in result.stderr
    assert Collection(path).status.tolist() == [DONE, DONE]


def test_append_adds_parts_to_a_link(linked, make_part):
    more = make_part("three.h5", {"g": 7})
    result = run("link", more, "--append", "--out", linked.path)
    assert (result.exit_code, Collection(linked.path).ids) == (0, ("a", "b", "c", "f", "d", "e", "g"))
    assert Collection(linked.path).status.tolist() == [DONE, DONE, PENDING, DONE, DONE, DONE, DONE]
    again = run("link", more, "--append", "--out", linked.path)
    assert (again.exit_code, "expected each part once" in again.stderr) == (2, True)
    assert len(Collection(linked.path)) == 7


def test_append_to_a_collection_of_its_own_features_is_refused(make_part):
    result = run("link", make_part("b.h5", {"b": 2}), "--append", "--out", make_part("a.h5", {"a": 1}))
    assert (result.exit_code, "expected --out" in result.stderr) == (2, True)
