"""Images that were seen before, by the bytes of their files."""

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import SplitList
from headtrain.cli import main
from headtrain.features.seen import as_text, content_keys, from_text, repeated
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import load_head

IDS = tuple(f"{row:02}.jpg" for row in range(12))
SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 1, "--device", "cpu", "--no-compile")
PARTS = {"train_1": range(6), "val_1": range(6, 9), "test_1": range(9, 12)}


@pytest.fixture
def make_hashed(make_collection):
    """make(files=(number of each image's file), lists=..) -> a collection whose images have such hashes."""

    def make(files=range(12), lists=PARTS, name="t.h5"):
        splits = {key: SplitList(np.array(rows), np.linspace(0, 1, len(rows))) for key, rows in lists.items()}
        path = make_collection(IDS, name=name, splits=splits)
        with RowWriter(path) as writer:
            for row, file in enumerate(files):
                for view in range(2):
                    writer.write_view(row, view, make_collection.features_of(row, view))
                digest = bytes([file + 1]) * 32
                writer.finish(row, ImageFacts(sha256=digest, width=30, height=20), np.zeros((2, 5), np.float32))
        return path

    return make


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_keys_come_back_from_text(make_hashed):
    keys = content_keys(Collection(make_hashed()), np.array([3, 1, 3]))
    assert np.array_equal(from_text(as_text(keys)), np.unique(keys))
    assert as_text(np.zeros(3, np.int64)) == ""
    for text in ("!", "AAAA"):
        with pytest.raises(ValueError, match="images trained on"):
            from_text(text)


def test_a_file_in_the_test_list_and_in_another_is_named(make_hashed):
    collection = Collection(make_hashed(files=(*range(9), 2, 7, 11)))
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    assert repeated(collection, subsets) == [("09.jpg", "02.jpg"), ("10.jpg", "07.jpg")]


def test_a_file_of_the_training_list_is_named_where_the_test_list_validates_too(make_hashed):
    collection = Collection(make_hashed(files=(*range(9), 2, 7, 11)))
    subsets = split_subsets(collection, 1, 0, allow_missing=False, select_on="test")
    assert repeated(collection, subsets) == [("09.jpg", "02.jpg")]


def test_images_whose_files_are_not_known_are_not_taken_for_one(make_collection):
    splits = {key: SplitList(np.array(rows), np.linspace(0, 1, len(rows))) for key, rows in PARTS.items()}
    collection = Collection(make_collection(IDS, done=range(12), splits=splits))
    assert repeated(collection, split_subsets(collection, 1, 0, allow_missing=False)) == []


@pytest.mark.parametrize("words", [("train", *SMALL, "--out", "r"), ("baseline", "--out", "r"),
                                   ("sweep", "--grid", "lr=1e-3", "--split", 1, *SMALL, "--out", "r")])  # fmt: skip
def test_commands_say_that_a_test_image_is_trained_on_under_another_name(make_hashed, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    path = make_hashed(files=(*range(9), 2, 10, 11))
    command, *rest = words
    result = amnet_head(command, "--features", path, *rest)
    assert result.exit_code == 0, result.output
    assert ("note: 1 test images are files of the training or validation list under another name, such as 09.jpg, "
            "which is 02.jpg: the result is better than it is") in result.stderr  # fmt: skip


def test_a_head_is_not_tested_on_images_that_it_was_trained_on(make_hashed, tmp_path):
    first = make_hashed()
    assert amnet_head("train", "--features", first, *SMALL, "--out", tmp_path / "r").exit_code == 0
    assert len(from_text(load_head(tmp_path / "r").provenance.trained_on)) == 6
    turned = {"train_1": range(6, 12), "val_1": range(4, 6), "test_1": range(4)}
    other = make_hashed(lists=turned, name="other.h5")
    words = ("--head", tmp_path / "r", "--split", 1, "--device", "cpu")
    refused = amnet_head("evaluate", "--features", other, *words, "--out", tmp_path / "e")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert (f"--head {tmp_path}/r: expected test images that it was not trained on, found 4 of 4 that it was"
            in refused.stderr)  # fmt: skip
    assert not (tmp_path / "e").exists()
    assert amnet_head("evaluate", "--features", first, *words, "--out", tmp_path / "e").exit_code == 0
