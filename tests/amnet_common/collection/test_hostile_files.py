"""Files made to deceive: refused with CollectionError, quickly, in little memory, and with no other file opened."""

import ctypes
import hashlib
import json
import os
import re
import shutil
import struct
import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection, structure
from amnet_common.collection.joining import link
from amnet_common.collection.layout import SOURCE, image_dtype
from amnet_common.collection.skeleton import create_link, create_skeleton
from amnet_common.collection.spec import Spec, image_list_sha256
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError

IDS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
SPLITS = {"train_1": SplitList(np.array([0, 1]), np.array([0.1, 0.2]))}
TABLES = ["images", "views", "checksums", "segments/0000", "labels", "seal", "splits/train_1", "split_scores/train_1"]
IN_OPEN = 0x20  # <sys/inotify.h>
MOST_BYTES, MOST_SECONDS = 8e6, 60.0
SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 1}, 0, "float32", "float16")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A collection without fault, to be copied."""
    path = tmp_path_factory.mktemp("sound") / "t.h5"
    create_skeleton(path, Dataset("test", path.parent, IDS, SPLITS), 2, SPEC, {"mode": "eager"}, {})
    assert Collection(path).ids == IDS
    return path


@pytest.fixture
def path(sound, tmp_path):
    return Path(shutil.copy(sound, tmp_path))


@pytest.fixture
def other(tmp_path):
    """A file with every table, of the right shapes, that no collection may lead to."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        for name in ("labels", "images", "rows"):
            file.create_dataset(name, data=np.zeros(4), maxshape=(None,), chunks=(4,))
    return tmp_path / "secret.h5"


@pytest.fixture
def opened():
    """watch(path) -> a function that says whether any code, the HDF5 library too, has opened that file since."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptors = []

    def watch(path):
        descriptors.append(libc.inotify_init1(os.O_NONBLOCK))
        assert libc.inotify_add_watch(descriptors[-1], os.fsencode(path), IN_OPEN) >= 0

        def was_opened() -> bool:
            try:
                return bool(os.read(descriptors[-1], 4096))
            except BlockingIOError:
                return False

        return was_opened

    yield watch
    for descriptor in descriptors:
        os.close(descriptor)


def refuse(path, message: str) -> None:
    """The file is refused with `message`, in little memory and time."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(CollectionError, match=message) as caught:
            Collection(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < MOST_SECONDS
    assert str(path) in str(caught.value)


def contiguous(file: h5py.File, name: str, shape: tuple[int, ...], dtype) -> h5py.Dataset:
    """A dataset that has its place in the file, but was never written: a hole."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind, space = h5py.h5t.py_create(np.dtype(dtype), logical=True), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), kind, space, creation)
    return file[name]


def replace_static(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Another table under that name, with a right checksum."""
    if name in file:
        del file[name]
    file[name] = values
    file[name].attrs["sha256"] = np.bytes_(hashlib.sha256(values.tobytes()).hexdigest())


def external_virtual(file: h5py.File, name: str, source: str, dataset: str, shape: tuple[int, ...]) -> None:
    """A virtual dataset over a source that must be opened to know its shape."""
    endless = h5py.h5s.create_simple(shape, (h5py.h5s.UNLIMITED, *shape[1:]))
    endless.select_hyperslab((0,) * len(shape), (h5py.h5s.UNLIMITED, *shape[1:]), block=(1,) * len(shape))
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_virtual(endless, source.encode(), dataset.encode(), endless)
    group = file.require_group(os.path.dirname(name) or "/")
    h5py.h5d.create(group.id, os.path.basename(name).encode(), h5py.h5t.IEEE_F64LE, endless, creation)


@pytest.mark.parametrize("name", [*TABLES, "splits", "split_scores", "segments"])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_link_in_place_of_an_object_is_refused_and_not_followed(path, other, opened, name, kind):
    with h5py.File(path, "r+") as file:
        file.move(name, "kept")
        file[name] = h5py.ExternalLink(str(other), "/") if kind == "external" else h5py.SoftLink("/kept")
    was_opened = opened(other)
    refuse(path, "is a link out of the file, or to nowhere")
    assert not was_opened()


@pytest.mark.parametrize("name", TABLES)
def test_virtual_dataset_is_refused_and_its_source_not_opened(path, other, opened, name):
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        external_virtual(file, name, str(other), "labels", shape)
    was_opened = opened(other)
    refuse(path, f"/{name} is not contiguous within the file")
    assert not was_opened()


@pytest.mark.parametrize("name", TABLES)
def test_storage_in_another_file_is_refused_and_not_read(path, other, opened, name):
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
    was_opened = opened(other)
    refuse(path, f"/{name} is not contiguous within the file")
    assert not was_opened()


@pytest.mark.parametrize("name", ["splits", "split_scores", "segments"])
def test_dataset_in_place_of_a_group_is_not_read(path, other, opened, name):
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, (10**9,), "<f8", external=[(str(other), 0, h5py.h5f.UNLIMITED)])
    was_opened = opened(other)
    refuse(path, "expected a .*collection, found")
    assert not was_opened()


def test_source_of_features_does_not_matter(path, other, opened, fill):
    fill(path, {1: 5})
    for change in (
        lambda file: external_virtual(file, "features", str(other), "labels", (4,)),
        lambda file: file.__setitem__("features", h5py.ExternalLink(str(other), "labels")),
        lambda _: None,
    ):
        with h5py.File(path, "r+") as file:
            if "features" in file:
                del file["features"]
            change(file)
        was_opened = opened(other)
        assert (Collection(path).read([1], 1, check=True) == 5.5).all()
        assert not was_opened()


@pytest.mark.parametrize("name", TABLES)
def test_compressed_table_is_refused_and_not_unpacked(path, name):
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, (10**9, *shape[1:]), dtype, chunks=(1000, *shape[1:]), compression="gzip")
    refuse(path, f"/{name} is not contiguous within the file")


def test_billion_rows_in_a_sparse_file_are_refused(path):
    with h5py.File(path, "r+") as file:
        del file["images"]
        contiguous(file, "images", (10**9,), image_dtype(5))
    refuse(path, r"expected tables that fit into 50% of the memory \(\d+\.\d GB\), found 2\d\d\.\d GB of them")


@pytest.mark.parametrize("names", [["images"], ["images", "labels"], ["images", "labels", "views", "checksums"]])
def test_tables_are_counted_together_against_the_memory(path, monkeypatch, names):
    with h5py.File(path) as file:
        listed = sum(file[f"{group}/train_1"].nbytes for group in ("splits", "split_scores")) if len(names) > 2 else 0
        needed = sum(file[name].nbytes for name in names) + listed
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(structure, "MEMORY_SHARE", (needed - 1) / memory)
    refuse(path, "expected tables that fit into")
    if len(names) > 2:
        monkeypatch.setattr(structure, "MEMORY_SHARE", (needed + 1) / memory)
        assert len(Collection(path)) == 4


@pytest.mark.parametrize("ids", ["S1025", "S50000000"])
def test_ids_longer_than_any_path_are_refused(path, ids):
    kinds = dict(image_dtype(5).fields) | {"id": (np.dtype(ids), 0)}
    with h5py.File(path, "r+") as file:
        del file["images"]
        contiguous(file, "images", (4,), np.dtype([(name, kind[0]) for name, kind in kinds.items()]))
    refuse(path, rf"expected at least one row, and ids of at most 1024 bytes, found 4 rows with {ids[1:]}")


def test_collection_of_no_rows_is_refused(path):
    with h5py.File(path, "r+") as file:
        for name in ("images", "labels", "splits", "split_scores", "views", "checksums"):
            shape, dtype = getattr(file[name], "shape", ()), getattr(file[name], "dtype", None)
            del file[name]
            if name == "labels":
                replace_static(file, "labels", np.zeros(0))
            elif shape:
                file.create_dataset(name, (0, *shape[1:]), dtype)
        kernel_path = file["segments/0000"].attrs["kernel_path"]
        del file["segments/0000"]
        file.create_dataset("segments/0000", (0, 2, 14, 14, 1024), "<f2").attrs["kernel_path"] = kernel_path
        file.attrs["roster"] = np.bytes_(image_list_sha256([]).encode())
    refuse(path, "/images: expected at least one row")


def test_collection_of_no_views_is_refused(path):
    with h5py.File(path, "r+") as file:
        kernel_path = file["segments/0000"].attrs["kernel_path"]
        for name in ("views", "checksums", "segments/0000"):
            shape, dtype = file[name].shape, file[name].dtype
            del file[name]
            file.create_dataset(name, (4, 0, *shape[2:]), dtype)
        file["segments/0000"].attrs["kernel_path"] = kernel_path
    refuse(path, "/segments/0000 has no views")


@pytest.fixture
def patchable(sound, tmp_path):
    """A copy without checksums of its metadata, as older HDF5 wrote it: addresses may be changed unnoticed."""
    with h5py.File(sound) as file, h5py.File(tmp_path / "old.h5", "w", libver="earliest") as copy:
        for name in ("images", "views", "checksums", "segments/0000", "labels", "seal"):
            copy.require_group(os.path.dirname(name) or "/")
            copied = contiguous(copy, name, file[name].shape, file[name].dtype)
            if name in ("images", "labels"):
                copied[...] = file[name][...]
            copied.attrs.update(file[name].attrs)
        copy.attrs.update(file.attrs)
    assert Collection(tmp_path / "old.h5").ids == IDS
    return tmp_path / "old.h5"


def move_table(path, name: str, to: int) -> None:
    """Change the address of a dataset in the file's metadata."""
    with h5py.File(path) as file:
        place, size = file[name].id.get_offset(), file[name].nbytes
    content, message = path.read_bytes(), struct.pack("<BBQQ", 3, 1, place, size)  # layout, version 3, contiguous
    assert content.count(message) == 1
    path.write_bytes(content.replace(message, struct.pack("<BBQQ", 3, 1, to, size)))


@pytest.mark.parametrize("name", ["views", "checksums", "segments/0000", "seal"])
def test_tables_that_overlap_are_refused(patchable, name):
    with h5py.File(patchable) as file:
        offset = file["images"].id.get_offset()
    move_table(patchable, name, offset + 8)
    refuse(patchable, "expected tables side by side, found two that overlap at")


@pytest.mark.parametrize("name", ["images", "labels", "segments/0000", "views"])
@pytest.mark.parametrize("place", [10**9, 2**62])
def test_table_beyond_the_end_of_the_file_is_refused(patchable, name, place):
    move_table(patchable, name, place)
    refuse(patchable, "expected .*, found")


@pytest.mark.parametrize("name", ["spec", "provenance", "format", "uuid", "fingerprint", "roster"])
def test_huge_attribute_is_refused_and_not_read(path, name):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        text = h5py.h5t.FORTRAN_S1.copy()
        text.set_size(2**20 + 1)
        h5py.h5a.create(file.id, name.encode(), text, h5py.h5s.create(h5py.h5s.SCALAR))
    refuse(path, "expected a")


@pytest.mark.parametrize("value", ["text of variable length", np.array([b"a", b"b"]), 5, h5py.Empty("S10")])
@pytest.mark.parametrize("name", ["spec", "format", "roster"])
def test_attribute_that_is_no_text_of_fixed_length_is_refused(path, name, value):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        file.attrs[name] = value
    refuse(path, "expected a")


@pytest.mark.parametrize("value", ["1", 1.0, np.array([1, 1]), 2**40, -1])
def test_format_version_that_is_not_1_is_refused(path, value):
    with h5py.File(path, "r+") as file:
        del file.attrs["format_version"]
        file.attrs["format_version"] = value
    refuse(path, "expected")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spec", "[" * 60_000),
        ("spec", '{"a":' * 10_000),
        ("provenance", "[" * 60_000),
        ("provenance", "[1]"),
        ("provenance", "{"),
        ("provenance", '{"a": ' + "9" * 50_000 + "}"),
        ("uuid", "../../etc/passwd"),
        ("uuid", "0123456789ABCDEF"),
        ("uuid", ""),
        ("uuid", "00\n"),
    ],
)
def test_text_that_is_not_what_it_should_be_is_refused(path, name, text):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(text.encode()) if text else np.array(b"", "S1")
    refuse(path, "expected a whole collection, found a damaged one")


def test_text_that_is_no_utf8_is_refused(path):
    for name in ("spec", "uuid", "roster", "provenance"):
        with h5py.File(path, "r+") as file:
            kept = file.attrs[name]
            file.attrs[name] = np.bytes_(b"\xff\xfe")
        refuse(path, "expected a whole collection, found a damaged one")
        with h5py.File(path, "r+") as file:
            file.attrs[name] = kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trunk", 5),
        ("variant", None),
        ("weights_sha256", []),
        ("view_plan", "all"),
        ("view_plan", [1]),
        ("seed", "0"),
        ("seed", 0.5),
        ("dtype", {"a": 1}),
        ("dtype", "float64"),
        ("dtype", "uint8"),
        ("scales_sha256", "00"),
        ("precision", float("nan")),
    ],
)
def test_spec_field_of_a_wrong_type_is_refused(path, field, value):
    fields = json.loads(SPEC.to_json()) | {field: value}
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = np.bytes_(json.dumps(fields).encode())
    refuse(path, "expected a whole collection, found a damaged one")


def test_view_plan_that_is_no_number_is_refused(path):
    fields = json.loads(SPEC.to_json()) | {"view_plan": {"area": float("inf")}}
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = np.bytes_(json.dumps(fields).encode())
    refuse(path, "expected a collection, found a file that HDF5 cannot read")


def test_labels_of_another_length_are_refused(path):
    for count in (3, 5):
        with h5py.File(path, "r+") as file:
            replace_static(file, "labels", np.zeros(count))
        refuse(path, rf"/labels: expected \(4,\) of float64, found \({count},\) of float64")


@pytest.mark.parametrize("rows", [[0, 4], [-1, 2], [2**62, 0]])
def test_split_of_rows_out_of_range_is_refused(path, rows):
    with h5py.File(path, "r+") as file:
        replace_static(file, "splits/train_1", np.array(rows))
    refuse(path, "/splits/train_1: expected rows of /images, found others")


def test_split_that_names_more_rows_than_there_are_images_is_refused(path):
    with h5py.File(path, "r+") as file:
        for group, kind in (("splits", "<i8"), ("split_scores", "<f8")):
            replace_static(file, f"{group}/train_1", np.zeros(5, kind))
    refuse(path, "/splits/train_1: expected each image at most once, found 5 rows of 4 images")


def test_more_split_lists_than_any_data_has_are_refused(path):
    with h5py.File(path, "r+") as file:
        for group in ("splits", "split_scores"):
            for k in range(3_000):
                file[f"{group}/train_{k + 2}"] = file[f"{group}/train_1"]  # names of one table: a small file
    refuse(path, "/splits has 3001 lists, more than 3000")


def test_rows_that_were_never_written_are_refused(path):
    """A sparse file of some kilobytes that claims 8 GB of them."""
    with h5py.File(path, "r+") as file:
        count = 8 * 10**9 // image_dtype(5).itemsize
        del file["images"]
        contiguous(file, "images", (count,), image_dtype(5))
    refuse(path, rf"/images: expected {count} rows, found a hole at \d+")


def test_split_with_other_numbers_of_rows_and_scores_is_refused(path):
    with h5py.File(path, "r+") as file:
        replace_static(file, "split_scores/train_1", np.zeros(3))
    refuse(path, "/splits/train_1: expected a score for each row, found others")


@pytest.mark.parametrize("name", ["labels", "splits/train_1", "images", "checksums"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", "O"])
def test_table_of_another_dtype_is_refused(path, name, dtype):
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, h5py.string_dtype() if dtype == "O" else dtype)
    refuse(path, "expected")


@pytest.mark.parametrize("shape", [(), None, (2, 2)])
@pytest.mark.parametrize("name", ["labels", "splits/train_1", "images", "segments/0000"])
def test_table_of_another_rank_is_refused(path, name, shape):
    with h5py.File(path, "r+") as file:
        dtype = file[name].dtype
        del file[name]
        file[name] = h5py.Empty(dtype) if shape is None else np.zeros(shape, dtype)
    refuse(path, "expected")


@pytest.fixture
def make_link(tmp_path):
    """make([(name, uuid)]) -> path of a link to those; its own folder is `folder`."""
    (tmp_path / "folder").mkdir()

    def make(sources):
        path = tmp_path / "folder" / "all.h5"
        create_link(path, Dataset("linked", tmp_path, IDS), SPEC, sources, {})
        return path

    return make


@pytest.mark.parametrize("name", ["{0}", "../{1}", "x/../../{1}", "./../folder/../{1}", "/etc/passwd", "/dev/zero"])
def test_source_outside_the_folder_is_refused_and_not_opened(path, make_link, opened, name):
    linked = make_link([(name.format(path, path.name), "00" * 16)])
    was_opened = opened(path)
    refuse(linked, f"expected parts below {re.escape(str(linked.parent))}, found /")
    assert not was_opened()


@pytest.mark.parametrize("name", ["", ".", "no.h5", "n" * 1000, "a\nb.h5"])
def test_source_that_is_no_file_is_refused(make_link, name):
    refuse(make_link([(name, "00" * 16)]), "found no such file; bring it back or link again")


def test_source_with_a_zero_byte_is_refused(make_link):
    path = make_link([("a.h5", "00" * 16)])
    with h5py.File(path, "r+") as file:
        replace_static(file, "sources", np.array([(b"a\0b.h5", b"00")], SOURCE))
    refuse(path, "names a path that no system takes")


def test_source_that_is_no_regular_file_is_refused_without_waiting(make_link, tmp_path):
    os.mkfifo(tmp_path / "folder" / "pipe.h5")
    refuse(make_link([("pipe.h5", "00" * 16)]), "found no such file")


def test_source_that_is_no_collection_is_refused(make_link, tmp_path):
    (tmp_path / "folder" / "text.h5").write_text("hello")
    with pytest.raises(CollectionError, match=r"text.h5: expected a collection, found a file that HDF5 cannot read"):
        Collection(make_link([("text.h5", "00" * 16)]))


def test_link_that_names_itself_or_another_link_is_refused(path, make_link, tmp_path):
    inner = link([path], tmp_path / "inner.h5").collection
    os.replace(inner.path, tmp_path / "folder" / "inner.h5")
    os.replace(tmp_path / "t.h5", tmp_path / "folder" / "t.h5")
    with pytest.raises(
        CollectionError, match=r"inner.h5: expected a collection with features of its own, found a link"
    ):
        Collection(make_link([("inner.h5", inner.uuid)]))
    (tmp_path / "folder" / "all.h5").unlink()
    with pytest.raises(CollectionError, match=r"all.h5: expected a collection with features of its own, found a link"):
        Collection(make_link([("all.h5", "00" * 16)]))


@pytest.mark.parametrize(
    "table",
    [
        np.zeros(0, SOURCE),
        np.zeros((1, 1), SOURCE),
        np.zeros((), SOURCE),
        np.zeros(1, SOURCE),
        np.array([(b"t.h5", b"no uuid")], SOURCE),
        np.zeros(3),
    ],
)
def test_sources_that_name_no_part_are_refused(path, table):
    with h5py.File(path, "r+") as file:
        replace_static(file, "sources", table)
    refuse(path, "expected")


def test_more_parts_than_any_library_has_are_refused(path):
    with h5py.File(path, "r+") as file:
        contiguous(file, "sources", (100_001,), SOURCE)
    refuse(path, "/sources: expected at most 100000 rows, found 100001")


def test_endless_sources_in_a_sparse_file_are_refused(path):
    with h5py.File(path, "r+") as file:
        contiguous(file, "sources", (10**8,), SOURCE)
    refuse(path, "expected tables that fit into 50% of the memory")


def test_scales_that_are_not_those_of_the_spec_are_refused(make_uint8, scales):
    path = make_uint8(done=())
    with h5py.File(path, "r+") as file:
        replace_static(file, "scales", scales[::-1].copy())
    refuse(path, r"/scales: expected sha256 \w+ of its spec, found other scales")


def test_scales_of_a_float16_collection_are_not_read(path):
    with h5py.File(path, "r+") as file:
        file["scales"] = h5py.ExternalLink("/etc/passwd", "/")
    assert Collection(path).scales is None


def test_skeleton_is_not_made_with_other_scales(tmp_path, make_uint8, scales):
    spec = Collection(make_uint8(done=())).spec
    for wrong in (scales * 2, scales[:5], None):
        with pytest.raises(CollectionError, match="expected"):
            create_skeleton(tmp_path / "new.h5", Dataset("test", tmp_path, IDS), 2, spec, {}, {}, wrong)
    assert os.listdir(tmp_path) == ["codes.h5"]


def test_json_that_is_none_is_refused(make_collection):
    path = make_collection()
    with h5py.File(path, "r+") as file:
        file["segments/0000"].attrs["kernel_path"] = np.bytes_(b'{"mode": NaN}')
    with pytest.raises(CollectionError, match="NaN is no JSON"):
        Collection(path)
