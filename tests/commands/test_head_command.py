"""`amnet-head` and `amnet-cache` as typed."""

import csv
import json

import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from headtrain.cli import main as head


@pytest.fixture
def invoke():
    """invoke(command, words...) -> click's result."""
    return lambda command, *words: CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def split_collection(make_collection):
    """Four images with scores in the three lists of split 1."""
    import numpy as np

    from amnet_common.datasets import SplitList

    ids = tuple(f"{row}.jpg" for row in range(6))
    lists = {f"{part}_1": SplitList(np.array([i, i + 1]), np.array([0.2, 0.8])) for i, part in
             ((0, "train"), (2, "val"), (4, "test"))}  # fmt: skip
    return lambda done: make_collection(ids, done=done, splits=lists, failed={})


def test_train_and_score_end_to_end(split_collection, invoke, tmp_path):
    features, run, out = split_collection(range(6)), tmp_path / "run", tmp_path / "scores.csv"
    trained = invoke(head, "train", "--features", features, "--out", run, "--epochs", 1)
    assert trained.exit_code == 0, trained.output
    assert json.loads((run / "metrics.json").read_text())["test"]["n"] == 2
    scored = invoke(head, "score", "--features", features, "--head", run, "--out", out)
    assert scored.exit_code == 0, scored.output
    with open(out, newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [f"{row}.jpg" for row in range(6)]


def test_training_on_an_unfinished_collection_ends_with_one_line_and_status_2(split_collection, invoke, tmp_path):
    result = invoke(head, "train", "--features", split_collection(range(5)), "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"main train: {tmp_path}/t.h5: expected features of all 6 images of the split, found 0 failed and 1 pending; "
        "run the same amnet-extract again (with --retry-failed for the failed), or leave them out with --allow-missing"
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--lr", "0"), "--lr: expected more than 0, found 0.0"),
        (("--steps", "7"), "--steps: expected 0 to 6, found 7"),
        (("--batch-size", "0"), "--batch-size: expected 1 or more, found 0"),
        (("--device", "toaster"), "--device: expected a device that torch can use, found 'toaster'"),
    ],
)
def test_values_out_of_range_are_named(split_collection, invoke, option, message):
    result = invoke(head, "train", "--features", split_collection(range(6)), *option)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_is_no_collection_is_refused_in_one_line(invoke, tmp_path):
    (tmp_path / "x.h5").write_text("hello")
    for command, words in ((head, ["train", "--features", tmp_path / "x.h5"]), (cache, ["info", tmp_path / "x.h5"])):
        result = invoke(command, *words)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert "x.h5: expected a collection, found a file that HDF5 cannot read" in result.stderr


def test_info_says_what_a_collection_holds(make_collection, invoke):
    path = make_collection(done=(0, 1), failed={2: "empty file"})
    result = invoke(cache, "info", path)
    assert result.exit_code == 0
    assert "rows         4 images: 2 done, 1 failed, 1 pending" in result.output
    assert "variant torchvision, precision float32" in result.output


def test_info_names_failed_images_with_their_reason(make_collection, invoke):
    path = make_collection(done=(0,), failed={2: "empty file"})
    assert invoke(cache, "info", "--failed", path).output == "c.jpg: empty file\n"
