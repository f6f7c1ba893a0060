"""Collections in an object store: each view is fetched when it is first read, and all are the bytes that lie there."""

import os
from pathlib import Path

import numpy as np
import pytest

from amnet_common import remote
from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.layout import DONE
from amnet_common.collection.verify import verify_structure
from amnet_common.errors import CollectionError

fsspec = pytest.importorskip("fsspec", reason="fsspec, of the extra remote, is not installed")


@pytest.fixture
def store(s3, tmp_path):
    """put(path) -> its address in the store."""
    bucket, files = s3.bucket().name, fsspec.filesystem("s3")

    def put(path):
        address = f"s3://{bucket}/{path.relative_to(tmp_path)}"
        files.put_file(str(path), address)
        return address

    return put


@pytest.fixture
def asked(monkeypatch):
    """How many ranges each request asked for."""
    usual, counts = remote.ranges_of, []

    def counted(url, starts, ends):
        counts.append(len(starts))
        return usual(url, starts, ends)

    monkeypatch.setattr("amnet_common.collection.mirror.ranges_of", counted)
    return counts


def all_bytes(collection):
    rows = np.flatnonzero(collection.status == DONE)
    return [collection.read(rows, view, check=True).tobytes() for view in range(collection.views)]


def test_views_are_fetched_once_and_are_those_of_the_file(make_part, store, asked):
    path = make_part("one.h5", {"a": 1, "b": 2, "c": None, "d": 4})
    collection = Collection(store(path))
    assert (collection.ids, collection.status.tolist()) == (("a", "b", "c", "d"), [1, 1, 0, 1])
    asked.clear()
    np.testing.assert_array_equal(collection.read([3, 0], [1, 0], check=True), Collection(path).read([3, 0], [1, 0]))
    assert asked == [2]
    assert all_bytes(collection) == all_bytes(Collection(path))
    assert sum(asked) == 6
    assert all_bytes(Collection(str(collection.path))) == all_bytes(Collection(path))


def test_copy_takes_only_the_room_of_what_was_read(make_part, store):
    path = make_part("one.h5", {name: number for number, name in enumerate("abcdefgh")})
    collection = Collection(store(path))
    before = os.stat(collection.local).st_blocks * 512
    assert before < collection.view_bytes
    collection.read([0], [0], check=True)
    assert os.stat(collection.local).st_blocks * 512 - before < 2 * collection.view_bytes


def test_oldest_views_go_where_the_bound_is_reached_and_come_again(make_part, store, monkeypatch):
    path = make_part("one.h5", {name: number for number, name in enumerate("abcdefgh")})
    address = store(path)
    monkeypatch.setenv("AMNET_CACHE_GB", str(3 * 401_408 / 1e9))
    collection = Collection(address)
    for _ in range(2):
        for row in range(8):
            wanted = Collection(path).read([row, row], [0, 1])
            np.testing.assert_array_equal(collection.read([row, row], [0, 1], check=True), wanted)
        assert os.stat(collection.local).st_blocks * 512 < 6 * collection.view_bytes


def test_link_in_a_store_reads_its_parts_there(make_part, store, tmp_path):
    parts = [make_part("one.h5", {"a": 1, "b": 2}), make_part("two.h5", {"c": 3})]
    linked = link(parts, tmp_path / "all.h5").collection
    address = [store(path) for path in (*parts, linked.path)][-1]
    assert all_bytes(Collection(address)) == all_bytes(linked)
    assert Collection(address).linked


def test_another_version_begins_the_copy_anew(make_part, store, fill):
    path = make_part("one.h5", {"a": 1, "b": None})
    address = store(path)
    old = Collection(address)
    assert old.status.tolist() == [1, 0]
    old.read([0], [0])
    fill(path, {1: 7})
    store(path)
    new = Collection(address)
    assert new.status.tolist() == [1, 1]
    assert all_bytes(new) == all_bytes(Collection(path))


def test_collection_that_is_not_there_is_one_line(store, make_part):
    address = store(make_part("one.h5", {"a": 1}))
    with pytest.raises(CollectionError, match="found no such file"):
        Collection(address.replace("one", "none"))


def test_verify_wants_a_file_of_this_machine(store, make_part):
    with pytest.raises(CollectionError, match="copy it here first"):
        verify_structure(Path(store(make_part("one.h5", {"a": 1}))))


def test_what_is_no_collection_is_refused(store, tmp_path):
    (tmp_path / "text.h5").write_bytes(b"no collection" * 1000)
    with pytest.raises(CollectionError, match="HDF5 cannot read"):
        Collection(store(tmp_path / "text.h5"))


@pytest.mark.parametrize("text", ["much", "1e400"])
def test_bound_that_is_no_number_is_named(monkeypatch, text):
    from amnet_common.collection.mirror import most_bytes

    monkeypatch.setenv("AMNET_CACHE_GB", text)
    with pytest.raises(CollectionError, match="AMNET_CACHE_GB: expected a number"):
        most_bytes()
