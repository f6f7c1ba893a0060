"""On the demo's pictures a head comes to look at the disc, which alone decides the score."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from extract.cli import main as extract
from headtrain.cli import main as head
from headtrain.heads.checkpoint import load_head

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
CHANCE_FACTOR = 2.0  # measured: 3.9, and 1.5 for the least of the images


@pytest.fixture(scope="module")
def demo():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_discs_place_gets_more_attention_than_chance(shared, demo, tmp_path):
    discs = demo.draw_dataset(tmp_path / "data", 240, seed=0)
    weights = shared / "weights" / "resnet50-msra-trunk.safetensors"
    out, run = tmp_path / "demo.h5", tmp_path / "run"
    words = ["--dataset", "lamem", "--root", tmp_path / "data", "--augs", 2, "--weights", weights, "--out", out]
    assert CliRunner().invoke(extract, [str(word) for word in words]).exit_code == 0
    words = ["--features", out, "--out", run, "--batch-size", 32, "--lr", 3e-4, "--epochs", 12, "--patience", 12]
    trained = CliRunner().invoke(head, ["train", *map(str, words), "--device", "cpu"])
    assert trained.exit_code == 0, trained.output
    collection = Collection(out)
    rows = collection.split("test_1").rows
    attention = load_head(run).predict(collection.read_dequantised(rows)).attention.numpy()  # (n, T, L)
    found = [share(a, collection, row, discs) for a, row in zip(attention, rows, strict=True)]
    assert np.mean(found) > CHANCE_FACTOR


def share(attention, collection, row, discs):
    """How much more weight lies on the disc than on as many places elsewhere in the view, mean over the steps."""
    top, left, height, width, _ = collection.boxes[row, 0].tolist()
    x, y, radius = discs[collection.ids[row]]
    middles = (np.arange(14) + 0.5) / 14
    place = np.hypot(left + middles * width - x, (top + middles * height)[:, None] - y) <= radius  # (14, 14)
    return attention[:, place.ravel()].sum(1).mean() / place.mean()
