"""Plain arrays: what NumPy reads back is what the collection holds, and a file has its name only when it is whole."""

import os
import re
import resource

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection import export as export_module
from amnet_common.collection.export import export
from amnet_common.collection.joining import link
from amnet_common.errors import CollectionError, ConfigError, OutputError

SCORES = np.array([0.1, 0.2, np.nan, 0.4, 0.5])


@pytest.fixture
def collection(make_collection):
    """a, b and d done, c failed, e pending."""
    return Collection(make_collection(list("abcde"), done=[0, 1, 3], failed={2: "broken"}, scores=SCORES))


def run(collection: Collection, out, all_views=False) -> list[int]:
    return list(export(collection, out, all_views))


def test_array_holds_the_evaluation_view_of_the_finished_rows_in_order(collection, make_collection, tmp_path):
    assert sum(run(collection, tmp_path / "x.npy")) == 3
    found = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert (found.shape, found.dtype) == ((3, 14, 14, 1024), np.dtype("<f2"))
    for features, row in zip(found, [0, 1, 3], strict=True):
        np.testing.assert_array_equal(features, make_collection.features_of(row, 0))
    assert (tmp_path / "x.npy.ids.txt").read_text() == "a\nb\nd\n"


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_every_view_of_an_image_stands_beside_the_others(collection, make_collection, tmp_path, ending):
    run(collection, tmp_path / f"x.{ending}", all_views=True)
    loaded = np.load(tmp_path / f"x.{ending}", allow_pickle=False)
    found = loaded if ending == "npy" else loaded["features"]
    assert found.shape == (3, 2, 14, 14, 1024)
    for views, row in zip(found, [0, 1, 3], strict=True):
        for view in range(2):
            np.testing.assert_array_equal(views[view], make_collection.features_of(row, view))


def test_archive_holds_ids_labels_and_rows_beside_the_features(collection, tmp_path):
    run(collection, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["features", "ids", "labels", "rows"]
        np.testing.assert_array_equal(archive["features"], collection.read([0, 1, 3]))
        assert (archive["ids"].tolist(), archive["rows"].tolist()) == ([b"a", b"b", b"d"], [0, 1, 3])
        np.testing.assert_array_equal(archive["labels"], [0.1, 0.2, 0.4])
    assert not (tmp_path / "x.npz.ids.txt").exists()


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_codes_are_turned_into_features(make_uint8, tmp_path, ending):
    collection = Collection(make_uint8(done=(0, 2)))
    run(collection, tmp_path / f"x.{ending}")
    loaded = np.load(tmp_path / f"x.{ending}")
    found = loaded if ending == "npy" else loaded["features"]
    np.testing.assert_array_equal(found, collection.read_dequantised([0, 2]).astype(np.float16))


def test_linked_collection_is_exported_in_its_order(make_part, tmp_path):
    parts = [make_part("one.h5", {"b": 2, "x": None}), make_part("two.h5", {"a": 1})]
    run(link(parts, tmp_path / "all.h5").collection, tmp_path / "x.npy", all_views=True)
    assert np.load(tmp_path / "x.npy")[:, :, 0, 0, 0].tolist() == [[2, 2.5], [1, 1.5]]
    assert (tmp_path / "x.npy.ids.txt").read_text() == "b\na\n"


def test_rows_are_told_as_they_are_written(collection, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "ROWS", 2)
    assert run(collection, tmp_path / "x.npy") == [2, 1]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), collection.read([0, 1, 3]))


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_collection_with_nothing_done_gives_an_array_of_no_rows(make_collection, tmp_path, ending):
    run(Collection(make_collection()), tmp_path / f"x.{ending}")
    loaded = np.load(tmp_path / f"x.{ending}")
    assert (loaded if ending == "npy" else loaded["features"]).shape == (0, 14, 14, 1024)


def test_ids_that_are_not_utf8_or_break_lines_keep_one_line_each(make_collection, tmp_path):
    collection = Collection(make_collection(["caf\udce9.jpg", "a\nb.jpg", "影.jpg"], done=[0, 1, 2]))
    run(collection, tmp_path / "x.npy")
    assert (tmp_path / "x.npy.ids.txt").read_bytes() == b"caf\xe9.jpg\na\\nb.jpg\n" + "影.jpg\n".encode()
    run(collection, tmp_path / "x.npz")
    assert np.load(tmp_path / "x.npz")["ids"].tolist() == [b"caf\xe9.jpg", b"a\nb.jpg", "影.jpg".encode()]


@pytest.mark.parametrize("name", ["x", "x.h5", "x.npy.gz", "x.csv"])
def test_name_with_another_ending_is_refused(collection, tmp_path, name):
    message = f"--out: expected a name that ends in .npy or .npz, found {tmp_path / name}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(collection, tmp_path / name)


@pytest.mark.parametrize(("name", "taken"), [("x.npy", "x.npy"), ("x.npy", "x.npy.ids.txt"), ("x.npz", "x.npz")])
@pytest.mark.parametrize("dangling", [False, True])
def test_existing_files_are_refused_and_left_alone(collection, tmp_path, name, taken, dangling):
    if dangling:
        (tmp_path / taken).symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / taken).write_text("mine")
    before = sorted(os.listdir(tmp_path))
    message = f"--out {tmp_path / taken}: expected a new file, found one that exists"
    with pytest.raises(OutputError, match=re.escape(message)):
        run(collection, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before
    assert dangling or (tmp_path / taken).read_text() == "mine"


@pytest.mark.parametrize("name", ["x.npy", "x.npy.ids.txt", "x.npz"])
def test_file_that_appears_meanwhile_is_not_replaced(collection, tmp_path, name):
    steps = export(collection, tmp_path / name.removesuffix(".ids.txt"), False)
    next(steps)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        list(steps)
    assert sorted(os.listdir(tmp_path)) == ["t.h5", name]
    assert (tmp_path / name).read_text() == "mine"


def test_missing_folder_is_named(collection, tmp_path):
    out = tmp_path / "no" / "x.npz"
    with pytest.raises(OutputError, match=re.escape(f"--out {out}: cannot be written: No such file or directory")):
        run(collection, out)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("room", [10, 5000, 500_000])
def test_full_disk_is_one_clear_error_and_leaves_nothing(collection, tmp_path, name, room):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OutputError, match=re.escape(f"--out {tmp_path / name}: cannot be written: File too large")):
            run(collection, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["t.h5"]


@pytest.mark.parametrize("number", [1, 2, 3])  # ids, features, folder
def test_error_of_any_sync_leaves_nothing(collection, tmp_path, monkeypatch, number):
    real, calls = os.fsync, []

    def fail_once(descriptor):
        calls.append(descriptor)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        run(collection, tmp_path / "x.npy")
    assert os.listdir(tmp_path) == ["t.h5"]


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), None])
def test_interruption_leaves_nothing(collection, tmp_path, monkeypatch, name, stop):
    monkeypatch.setattr(export_module, "ROWS", 1)
    steps = export(collection, tmp_path / name, False)
    next(steps)
    assert not (tmp_path / name).exists()
    if stop is None:
        steps.close()  # the reader of the steps has gone
    else:
        with pytest.raises(KeyboardInterrupt):
            steps.throw(stop)
    assert os.listdir(tmp_path) == ["t.h5"]


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_damaged_features_are_never_exported(collection, tmp_path, name):
    with open(collection.path, "r+b") as file:
        file.seek(collection.parts[0].planes.features.at(3) + 9)
        file.write(b"\xff")
    with pytest.raises(CollectionError, match=r"row 3 \(d\) view 0: expected checksum"):
        run(collection, tmp_path / name)
    assert os.listdir(tmp_path) == ["t.h5"]


def test_ids_that_a_kill_left_alone_are_taken_over_and_others_are_not(collection, tmp_path):
    run(collection, tmp_path / "x.npy")
    array, ids = (tmp_path / "x.npy").read_bytes(), (tmp_path / "x.npy.ids.txt").read_bytes()
    (tmp_path / "x.npy").unlink()  # as a kill between the two names leaves it
    run(collection, tmp_path / "x.npy")
    assert ((tmp_path / "x.npy").read_bytes(), (tmp_path / "x.npy.ids.txt").read_bytes()) == (array, ids)
    (tmp_path / "x.npy").unlink()
    (tmp_path / "x.npy.ids.txt").write_bytes(ids[::-1])
    with pytest.raises(OutputError, match="expected a new file"):
        run(collection, tmp_path / "x.npy")
    assert (tmp_path / "x.npy.ids.txt").read_bytes() == ids[::-1]
