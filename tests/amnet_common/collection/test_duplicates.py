"""Pictures that stand in a collection twice, and the splits whose test they spoil."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.collection.duplicates import Twins, duplicate_lines, duplicates
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import SplitList
from amnet_common.images.source import read_source

IDS = ("a.png", "b.jpg", "c.png", "d.png", "e.png")
LISTS = {"train_1": [0, 2], "test_1": [1, 3], "train_2": [0, 1], "val_2": [4], "test_2": [3]}


def photograph(seed):
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)


@pytest.fixture
def collection(make_collection, tmp_path):
    """b is a in another encoding, e the very file d; c is alone."""
    images = tmp_path / "images"
    images.mkdir()
    for name, seed in zip(IDS, (0, 0, 1, 2, 2), strict=True):
        photograph(seed).save(images / name)
    splits = {name: SplitList(np.array(rows), np.full(len(rows), 0.5)) for name, rows in LISTS.items()}
    path = make_collection(IDS, views=1, splits=splits)
    with RowWriter(path) as writer:
        for row, name in enumerate(IDS):
            source = read_source(images / name)
            facts = ImageFacts(sha256=source.sha256, size=source.size, mtime_ns=source.mtime_ns, width=400, height=300)
            writer.write_view(row, 0, np.zeros((14, 14, 1024), np.float16))
            writer.finish(row, facts, np.zeros((1, 5), np.float32))
    return Collection(path)


def test_twins_are_found_by_bytes_and_by_looks_and_the_splits_that_they_spoil_named(collection, tmp_path):
    found = duplicates(collection, tmp_path / "images")
    assert [(one.rows, one.leaks) for one in found.twins] == [((0, 1), ("1",)), ((3, 4), ("2",))]
    assert found.twins[0].bits <= 10
    assert found.twins[1].bits is None
    assert found.not_seen == 0


def test_without_the_images_bytes_still_tell(collection, tmp_path):
    found = duplicates(collection, tmp_path / "nowhere")
    assert found.twins == (Twins((3, 4), None, ("2",)),)
    assert list(duplicate_lines(collection, found)) == [
        "d.png and e.png: the same bytes: one is tested and the other trained or chosen on in split 2",
        "5 images could not be looked at; only their bytes were compared",
    ]


def test_every_two_of_several_copies_are_compared(make_collection):
    lists = {"test_1": [1], "train_1": [2]}
    splits = {name: SplitList(np.array(rows), np.full(1, 0.5)) for name, rows in lists.items()}
    path = make_collection(IDS[:3], views=1, splits=splits)
    with RowWriter(path) as writer:
        for row in range(3):
            writer.write_view(row, 0, np.zeros((14, 14, 1024), np.float16))
            writer.finish(row, ImageFacts(sha256=b"x" * 32, width=4, height=3), np.zeros((1, 5), np.float32))
    found = duplicates(Collection(path)).twins
    assert [(one.rows, one.leaks) for one in found] == [((0, 1), ()), ((0, 2), ()), ((1, 2), ("1",))]


def test_info_says_so(collection, tmp_path):
    result = CliRunner().invoke(main, ["info", "--duplicates", str(collection.path), "--images",
                                       str(tmp_path / "images")])  # fmt: skip
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first.startswith("a.png and b.jpg: look the same (")
    assert first.endswith(" of 256 bits differ): one is tested and the other trained or chosen on in split 1")
    assert second.startswith("d.png and e.png: the same bytes")
