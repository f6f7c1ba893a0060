"""Files that are no collection, or no longer a whole one: refused or noticed, with what was expected and found."""

import os
import re

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.layout import image_dtype
from amnet_common.collection.structure import read_structure
from amnet_common.datasets.records import SplitList
from amnet_common.errors import BegunAnewError, CollectionError, MissingRowsError
from amnet_common.hdf5.facts import facts

SPLITS = {"train_1": SplitList(np.array([0, 1]), np.array([0.1, 0.2]))}


@pytest.fixture
def path(make_collection):
    return make_collection(done=[0, 1], failed={2: "broken"}, splits=SPLITS)


def offset_of(path, dataset: str) -> int:
    with h5py.File(path) as file:
        return file[dataset].id.get_offset()


def flip_bit(path, offset: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1 << bit]))


def test_reader_refuses_newer_format(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(CollectionError, match=re.escape(f"{path}: expected format version 1, found 2")):
        Collection(path)


def test_other_format_is_named(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = np.bytes_(b"other")
    with pytest.raises(CollectionError, match="expected format amnet-collection, found 'other'"):
        Collection(path)


def test_other_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(
        CollectionError, match=r"other.h5: expected a collection \(amnet-collection\), found another HDF5 file"
    ):
        Collection(tmp_path / "other.h5")


@pytest.mark.parametrize("content", [b"", b"id,score\n", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_file_that_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "t.h5").write_bytes(content)
    with pytest.raises(CollectionError, match=r"t.h5: expected a collection, found a file that HDF5 cannot read"):
        Collection(tmp_path / "t.h5")


@pytest.mark.parametrize("name", ["no.h5", ".", "n" * 300])
def test_missing_file_and_folder_are_refused(tmp_path, name):
    with pytest.raises(
        CollectionError, match=re.escape(f"{tmp_path / name}: expected a collection, found no such file")
    ):
        Collection(tmp_path / name)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.999])
def test_truncated_file_is_refused(path, keep):
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * keep))
    with pytest.raises(CollectionError, match=re.escape(f"{path}: expected")):
        Collection(path)


def test_file_cut_short_while_open_is_noticed(path):
    collection = Collection(path)
    with open(path, "r+b") as file:
        file.truncate(offset_of(path, "segments/0000") + 1000)
    with pytest.raises(CollectionError, match=r"expected \d+ more bytes at \d+, found the end of the file"):
        collection.read(1)


@pytest.mark.parametrize("table", ["labels", "splits/train_1", "split_scores/train_1"])
@pytest.mark.parametrize("bit", [0, 7])
def test_flipped_bit_in_a_static_table_is_noticed(path, table, bit):
    flip_bit(path, offset_of(path, table), bit)
    with pytest.raises(CollectionError, match=rf"/{table}: expected sha256 \w+, found \w+: the table is damaged"):
        Collection(path)


@pytest.mark.parametrize("row", [0, 2, 3])
def test_flipped_bit_in_an_id_is_noticed_in_any_row(path, row):
    flip_bit(path, offset_of(path, "images") + row * image_dtype(5).itemsize)
    with pytest.raises(CollectionError, match=r"expected ids of the image list \w+, found others: /images is damaged"):
        Collection(path)


@pytest.mark.parametrize("field", ["sha256", "size", "mtime_ns", "width", "height", "status", "error", "crc32c"])
@pytest.mark.parametrize("row", [0, 2])
def test_flipped_bit_in_a_mark_makes_the_row_pending(path, field, row):
    record = image_dtype(5)
    flip_bit(path, offset_of(path, "images") + row * record.itemsize + record.fields[field][1])
    collection = Collection(path)
    assert (collection.status[row], collection.damaged.tolist()) == (0, [row])
    with pytest.raises(MissingRowsError, match=f"expected features of row {row} .*, found it pending"):
        collection.read(row)


@pytest.mark.parametrize(("table", "row_bytes"), [("views", 40), ("checksums", 8)])
def test_flipped_bit_in_boxes_or_checksums_makes_the_row_pending(path, table, row_bytes):
    flip_bit(path, offset_of(path, table) + row_bytes)
    assert Collection(path).damaged.tolist() == [1]


def test_flipped_bit_in_the_features_is_found_by_checking(path):
    collection = Collection(path)
    before = collection.read(1, 0)
    flip_bit(path, offset_of(path, "segments/0000") + 2 * 401_408)
    assert not np.array_equal(collection.read(1, 0), before)
    with pytest.raises(CollectionError, match=r"row 1 \(b.jpg\) view 0: expected checksum 0x\w+, found 0x\w+"):
        collection.read([0, 1], 0, check=True)
    collection.read([0, 1], 1, check=True)


def test_fingerprint_of_another_spec_is_refused(path, spec):
    with h5py.File(path, "r+") as file:
        file.attrs["fingerprint"] = np.bytes_(b"0" * 64)
    with pytest.raises(CollectionError, match=f"expected fingerprint {spec.fingerprint} of its spec, found {'0' * 64}"):
        Collection(path)


@pytest.mark.parametrize("name", ["images", "views", "checksums", "segments/0000", "labels"])
def test_collection_without_one_of_its_tables_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(CollectionError, match=rf"{re.escape(str(path))}: expected a .*collection, found"):
        Collection(path)


@pytest.mark.parametrize("name", ["views", "checksums"])
def test_table_of_another_shape_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        values = file[name][:-1]
        del file[name]
        file[name] = values
    with pytest.raises(CollectionError, match=rf"/{name}: expected \(4, 2.*\) of \w+, found \(3, 2.*\) of \w+"):
        Collection(path)


def test_split_of_rows_that_do_not_exist_is_refused(make_collection, monkeypatch):
    monkeypatch.setattr("amnet_common.datasets.records.Dataset.__post_init__", lambda _: None)
    splits = {"train_1": SplitList(np.array([0, 9]), np.zeros(2))}
    with pytest.raises(CollectionError, match="/splits/train_1: expected rows of /images, found others"):
        make_collection(splits=splits, scores=np.zeros(4))


@pytest.mark.parametrize("ids", [["a.jpg", "../b.jpg"], ["/etc/passwd", "b.jpg"]])
def test_ids_outside_the_image_root_are_refused(make_collection, ids):
    with pytest.raises(
        CollectionError, match=r"/images: expected an image path below the image root, found '(../b|/etc)"
    ):
        make_collection(ids=ids)


def test_ids_that_stand_there_twice_are_refused(make_collection):
    with pytest.raises(CollectionError, match="/images: expected each id once, found one twice"):
        make_collection(ids=["a.jpg", "a.jpg"])


def test_file_that_goes_while_open_is_named(path):
    collection = Collection(path)
    path.unlink()
    for use in (collection.refresh, lambda: collection.read(1)):
        with pytest.raises(
            CollectionError, match=re.escape(f"{path}: expected the file that was opened, found it gone")
        ):
            use()


def test_file_that_is_replaced_while_it_is_read_is_not_called_damaged(make_part):
    whole, other = make_part("whole.h5", dict.fromkeys("abcdefgh", 1)), make_part("other.h5", {"a": 2})

    def ask(question):
        answer = facts(question)
        os.replace(other, whole)
        return answer

    with pytest.raises(BegunAnewError, match="found it replaced while it was read"):
        read_structure(whole, ask)
