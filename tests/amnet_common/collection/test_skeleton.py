"""The empty collection: its place in the file, and its publishing, whole or not at all."""

import os
import re
import resource

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection, skeleton
from amnet_common.datasets.records import SplitList
from amnet_common.errors import OutputError


def test_views_are_whole_pages_of_float16(make_collection):
    path = make_collection(views=3)
    with h5py.File(path) as file:
        segment = file["segments/0000"]
        assert segment.id.get_offset() % 4096 == 0
        assert (segment.shape, segment.dtype) == ((4, 3, 14, 14, 1024), np.dtype("<f2"))
        assert segment[0, 0].nbytes == 401_408 == 98 * 4096


def test_skeleton_of_lamems_size_takes_no_disk(make_collection):
    path = make_collection(ids=[f"{i:08}.jpg" for i in range(58_741)], views=11)
    assert path.stat().st_size > 58_741 * 11 * 401_408
    assert path.stat().st_blocks * 512 < 50e6


def test_tables_are_readable_with_h5py_alone(make_collection):
    splits = {"train_1": SplitList(np.array([2, 0]), np.array([0.3, 0.1])), "val_1": SplitList(*np.zeros((2, 0)))}
    path = make_collection(ids=["a", "bb", "c"], splits=splits, scores=np.array([0.1, np.nan, 0.3]))
    with h5py.File(path) as file:
        assert file["images"]["id"].tolist() == [b"a", b"bb", b"c"]
        assert (file["splits/train_1"][:].tolist(), file["split_scores/train_1"][:].tolist()) == ([2, 0], [0.3, 0.1])
        assert file["splits/val_1"].shape == (0,)
        np.testing.assert_array_equal(file["labels"], [0.1, np.nan, 0.3])
        assert (file.attrs["format"], file.attrs["format_version"]) == (b"amnet-collection", 1)


def test_attributes_have_fixed_lengths(make_collection):
    with h5py.File(make_collection()) as file:
        kinds = [file.attrs.get_id(name).get_type() for name in file.attrs]
        texts = [kind for kind in kinds if isinstance(kind, h5py.h5t.TypeStringID)]
        assert len(texts) >= 5
        assert not any(kind.is_variable_str() for kind in texts)


@pytest.mark.parametrize("ids", [["caf\udce9.jpg", "é.jpg"], ["a\nb.jpg", " c.jpg "], ["d" * 1024, "e"]])
def test_ids_come_back_as_they_were(make_collection, ids):
    assert Collection(make_collection(ids=ids)).ids == tuple(ids)


def test_taken_name_is_refused_and_left_alone(make_collection, tmp_path):
    path = make_collection(name="taken.h5")
    before = path.read_bytes()[:4096]
    with pytest.raises(
        OutputError, match=re.escape(f"--out {path}: expected to create a collection there, found: it exists")
    ):
        make_collection(name="taken.h5")
    assert path.read_bytes()[:4096] == before
    assert os.listdir(tmp_path) == ["taken.h5"]


@pytest.mark.parametrize("name", ["no/such/folder/t.h5", "n" * 300, "/proc/t.h5"])
def test_place_that_cannot_be_written_is_named(make_collection, tmp_path, name):
    with pytest.raises(OutputError, match=re.escape(f"--out {tmp_path / name}: expected to create a collection there")):
        make_collection(name=name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_when_filling_fails(make_collection, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(skeleton, "_fill_common", fail)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        make_collection()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("room", [4096, 50_000, 2_000_000])
def test_full_disk_is_one_clear_error_and_leaves_nothing(make_collection, tmp_path, room):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # with so little room the HDF5 library itself crashes
    try:
        with pytest.raises(OutputError, match=r"t.h5: expected to create a collection there, found: File too large"):
            make_collection()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
