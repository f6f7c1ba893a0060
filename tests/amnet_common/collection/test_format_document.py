"""docs/format.md says what the code does: its readers run, its tables name every field, dataset and number."""

import dataclasses
import hashlib
import re
from pathlib import Path

import crc32c
import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection, layout
from amnet_common.collection.layout import DTYPES, FAILED, VIEW_SHAPE, image_dtype
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.structure import read_structure
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import SplitList

TEXT = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SCALES = np.linspace(0.01, 0.2, layout.CHANNELS, dtype=np.float32)
NAMES = (
    "SEGMENT",
    "FEATURES",
    "IMAGES",
    "VIEWS",
    "CHECKSUMS",
    "LABELS",
    "SPLITS",
    "SPLIT_SCORES",
    "SCALES",
    "SOURCES",
    "HELD",
    "INTEGRITY",
)


@pytest.fixture(params=DTYPES)
def path(request, tmp_path, spec):
    """A collection of four images, done, failed, done and pending, of two views."""
    scales = SCALES if request.param == "uint8" else None
    spec = dataclasses.replace(
        spec, dtype=request.param, scales_sha256=None if scales is None else scales_sha256(scales)
    )
    dataset = Dataset("t", tmp_path, ("a", "bb", "c", "d"), {"train_1": SplitList(np.array([2]), np.array([0.5]))})
    create_skeleton(tmp_path / "t.h5", dataset, 2, spec, {"mode": "eager"}, {}, scales)
    with RowWriter(tmp_path / "t.h5") as writer:
        for row in (0, 2):
            for view in range(2):
                values = np.random.default_rng([row, view]).integers(0, 256, VIEW_SHAPE)
                writer.write_view(row, view, values.astype(DTYPES[request.param]))
            writer.finish(row, ImageFacts(bytes([row]) * 32, 5, 6, 30, 20), np.full((2, 5), row, np.float32))
        writer.fail(1, ImageFacts(), "no picture")
    return tmp_path / "t.h5"


def run(block: str):
    """The function that a block of the document defines."""
    names: dict[str, object] = {}
    exec(block, names)
    return names[re.search(r"def (\w+)", block)[1]]


def test_readers_of_the_document_have_at_most_15_lines():
    assert [len([line for line in block.splitlines() if line]) <= 15 for block in BLOCKS] == [True, True]


def test_reader_in_plain_h5py_agrees_with_collection(path):
    collection, found = Collection(path), list(run(BLOCKS[0])(path))
    assert [(row, id_) for row, id_, _ in found] == [(0, b"a"), (2, b"c")]
    for row, _, features in found:
        np.testing.assert_array_equal(features, collection.read_dequantised([row, row], [0, 1]), strict=True)


def test_reader_in_plain_h5py_leaves_out_a_row_whose_mark_does_not_hold(path):
    boxes = read_structure(path).planes.views
    with open(path, "r+b") as file:
        file.seek(boxes.at(2))
        file.write(b"\x01")
    assert [row for row, _, _ in run(BLOCKS[0])(path)] == [0]


def test_reader_in_plain_numpy_agrees_with_collection(path):
    collection, features = Collection(path), run(BLOCKS[1])(path)
    for row, view in ((0, 0), (0, 1), (2, 0), (2, 1)):
        np.testing.assert_array_equal(features(row, view), collection.read_dequantised(row, view)[0], strict=True)
    for row in (1, 3):
        with pytest.raises(LookupError, match=f"row {row} has no features"):
            features(row, 0)


@pytest.mark.parametrize("reader", BLOCKS)
def test_readers_refuse_or_do_not_know_other_files(reader, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs.update({"format": b"other", "format_version": 1})
    with pytest.raises((ValueError, KeyError)):
        list(run(reader)(tmp_path / "other.h5"))


def rows_under(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_table_of_fields_is_the_record():
    n, found = 7, []
    for name, kind, offset, _ in rows_under("A row of `/images`"):
        base, _, more = offset.partition(" + ")
        size = re.fullmatch(r"(?:(\d+) x )?`(.+)`", kind)
        base_kind = np.dtype(size[2].replace("Sn", f"S{n}"))
        found.append((name.strip("`"), np.dtype((base_kind, int(size[1]))) if size[1] else base_kind,
                      (n if base == "n" else int(base)) + int(more or 0)))  # fmt: skip
    record = image_dtype(n)
    assert found == [(name, *record.fields[name][:2]) for name in record.names]
    assert found[-1][2] + 4 == record.itemsize


def test_table_of_datasets_names_every_one_and_no_other(path):
    named = {row[0].strip("`/").removesuffix("/NAME") for row in rows_under("What stands in the file")}
    assert named == {getattr(layout, name) for name in NAMES}
    constants = {name for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    assert constants == {*NAMES, "FORMAT"}
    stored: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: stored.append(name) if isinstance(item, h5py.Dataset) else None)
    assert {name if name == layout.SEGMENT else name.split("/")[0] for name in stored} <= named


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_types_of_the_row_tables_are_those_of_the_document(dtype):
    documented = {row[0].strip("`/"): (row[1], row[2]) for row in rows_under("What stands in the file")}
    for name, (shape, kind) in layout.tables(123, 45, 7, dtype).items():
        text, types = documented[name]
        assert text.replace("N", "123").replace("V", "45") == str(shape)
        assert name == layout.IMAGES or kind in [np.dtype(each) for each in re.findall(r"`(.+?)`", types)]


def test_table_of_the_spec_names_every_field():
    assert [row[0].strip("`") for row in rows_under("Spec and fingerprint")] == [
        f.name for f in dataclasses.fields(Spec)
    ]


def test_attributes_are_those_of_the_document(path):
    table = TEXT.split("Attributes of the file")[1].split("\n\n")[1].splitlines()[2:]
    with h5py.File(path) as file:
        assert {line.split("`")[1] for line in table} == set(file.attrs)


def test_numbers_of_the_document(path):
    assert f"status` | `u1` | n + 64 | {layout.PENDING} pending, {layout.DONE} done, {FAILED} failed" in TEXT
    assert f"| `format` | text | `{layout.FORMAT}` |\n| `format_version` | integer | {layout.VERSION} |" in TEXT
    assert (hex(crc32c.crc32c(b"123456789")), "0xE3069283" in TEXT) == ("0xe3069283", True)
    assert f"`S{layout.PATH_BYTES}`, `uuid` `S32`" in TEXT
    assert f"* {int(np.prod(VIEW_SHAPE))} * itemsize" in TEXT
    segment = read_structure(path).planes.features
    assert segment.offset % layout.PAGE == 0
    assert f"{segment.row_bytes // 2:,} bytes, {segment.row_bytes // 2 // layout.PAGE} pages" in TEXT


def test_integrity_hash_and_image_list_are_computed_as_the_document_says(path):
    data, structure = path.read_bytes(), read_structure(path)
    with h5py.File(path, locking=False) as file:
        places = [(file[name].id.get_offset(), file[name].nbytes)
                  for name in ("seal", "images", "segments/0000", "views", "checksums")]  # fmt: skip
        seal, ids, image_list = bytes(file["seal"][:]), file["images"]["id"].tolist(), file.attrs["roster"].decode()
        assert file.attrs["fingerprint"].decode() == hashlib.sha256(file.attrs["spec"]).hexdigest()
    kept = np.ones(len(data), bool)
    for offset, size in places:
        kept[offset : offset + size] = False
    assert hashlib.sha256(np.frombuffer(data, np.uint8)[kept].tobytes()).digest() == seal
    assert hashlib.sha256(b"".join(len(id_).to_bytes(4, "little") + id_ for id_ in ids)).hexdigest() == image_list
    assert structure.image_list == image_list
