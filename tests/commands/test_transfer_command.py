"""`amnet-head test` as a user types it: heads on another collection."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from amnet_common.collection import Collection
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import SplitList
from headtrain.cli import main
from headtrain.evaluation.predictions import read_predictions
from headtrain.heads.checkpoint import load_head
from headtrain.scoring.scores import score_collection

SMALL = (
    "--hidden",
    8,
    "--regress-hidden",
    4,
    "--no-attention",
    "--epochs",
    30,
    "--lr",
    1e-2,
    "--device",
    "cpu",
    "--no-compile",
)
SCORES = np.linspace(0.2, 0.9, 12)


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def make_hashed(make_collection):
    """make(name, first=number of the first image's file) -> a collection of 12 images whose hashes count from there."""

    def make(name, first=0, missing=()):
        lists = {"train_1": range(6), "val_1": range(6, 9), "test_1": range(9, 12)}
        splits = {key: SplitList(np.array(rows), SCORES[list(rows)]) for key, rows in lists.items()}
        path = make_collection([f"{row:02}.jpg" for row in range(12)], name=name, splits=splits)
        with RowWriter(path) as writer:
            for row in range(12):
                if row not in missing:
                    for view in range(2):
                        lifted = make_collection.features_of(row + first, view) + np.float16(SCORES[row])
                        writer.write_view(row, view, lifted)
                    facts = ImageFacts(sha256=bytes([first + row + 1]) * 32, width=30, height=20)
                    writer.finish(row, facts, np.zeros((2, 5), np.float32))
        return path

    return make


@pytest.fixture
def run(make_hashed, tmp_path):
    """A head that was trained on the files 0 to 5."""
    assert amnet_head("train", "--features", make_hashed("a.h5"), *SMALL, "--out", tmp_path / "r").exit_code == 0
    return tmp_path / "r"


def test_a_head_is_tested_on_all_labelled_images_of_another_collection(make_hashed, run, tmp_path):
    other = make_hashed("b.h5", first=100)
    result = amnet_head("test", "--features", other, "--head", run, "--device", "cpu", "--out", tmp_path / "p.csv")
    assert result.exit_code == 0, result.output
    predicted = score_collection(load_head(run), Collection(other)).score
    rho, line = stats.spearmanr(predicted, SCORES).statistic, stats.linregress(predicted, SCORES)
    assert result.stdout.startswith(f"all: rho {rho:.4f} [")
    slope, intercept = re.search(r"score = (\S+) \* prediction (\S+), 12 images", result.stdout).groups()
    assert (float(slope), float(intercept)) == pytest.approx((line.slope, line.intercept), rel=1e-2)
    assert np.allclose(read_predictions(tmp_path / "p.csv").predicted, predicted)


def test_images_that_it_was_trained_on_or_that_have_no_features_are_left_out(make_hashed, run):
    other = make_hashed("b.h5", first=3, missing=[11])  # its first three images are files 3 to 5
    result = amnet_head("test", "--features", other, "--head", run, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "8 images, 1 without features left out, 3 trained on left out" in result.stderr
    refused = amnet_head(
        "test", "--features", make_hashed("c.h5"), "--head", run, "--list", "train_1", "--device", "cpu"
    )
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert (
        "expected at least 2 images with score and features that no head was trained on, found 0 of 6" in refused.stderr
    )


def test_categories_have_a_line_each(make_hashed, run, tmp_path):
    names = ["x" if row % 2 else "y" for row in range(12)]
    (tmp_path / "c.csv").write_text("id,scene\n" + "".join(f"{row:02}.jpg,{name}\n" for row, name in enumerate(names)))
    words = ("test", "--features", make_hashed("b.h5", first=100), "--head", run, "--device", "cpu")
    result = amnet_head(*words, "--categories", tmp_path / "c.csv", "--column", "scene")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["all", "x", "y"]
    assert result.stdout.count(", 6 images") == 2
    refused = amnet_head(*words, "--categories", tmp_path / "c.csv")
    assert "expected columns id,category, found 'id,scene'" in refused.stderr


def test_a_list_of_its_own(make_hashed, run):
    result = amnet_head("test", "--features", make_hashed("b.h5", 100), "--head", run, "--list", "val_1", "--device",
                        "cpu")  # fmt: skip
    assert ", 3 images" in result.stdout


def test_a_scatter_plot_of_each_head_and_of_their_mean(make_hashed, run, tmp_path):
    other = make_hashed("b.h5", first=100)
    words = ("test", "--features", other, "--head", run, "--device", "cpu", "--scatter", tmp_path / "s.svg")
    assert amnet_head(*words, "--head", run / "last.safetensors").exit_code == 0
    drawn = (tmp_path / "s.svg").read_text()
    assert drawn.count("<!-- both are equal -->") == 3
    assert "<!-- mean of 2 heads -->" in drawn
    refused = amnet_head(*words)
    assert refused.exit_code == 2
    assert "s.svg: expected a new file, found one that exists; --overwrite replaces" in refused.stderr
    assert amnet_head(*words, "--overwrite").exit_code == 0
    assert (tmp_path / "s.svg").read_text().count("<!-- both are equal -->") == 1
