"""A small data set and a place for what the commands make of it."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.datasets import SplitList
from extract.cli import main as extract
from headtrain.cli import main as head


@pytest.fixture
def root(tmp_path):
    """A folder of four small pictures in LaMem's layout."""
    folder = tmp_path / "set"
    for name in ("images", "splits"):
        (folder / name).mkdir(parents=True)
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (40, 30 + i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{i}.png")
    for part, line in (("train", "0.png 0.5\n1.png 0.25\n"), ("val", "2.png 0.75\n"), ("test", "3.png 1\n")):
        (folder / "splits" / f"{part}_1.txt").write_text(line)
    return folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "t.h5"


@pytest.fixture
def counts():
    """Training, validation and test images of `features`, twelve in all."""
    return 6, 3, 3


@pytest.fixture
def features(make_collection, counts):
    """A collection of twelve images in two splits, the second in reverse order."""
    scores, ids = np.linspace(0.3, 0.9, 12), tuple(f"{row:02}.jpg" for row in range(12))
    lists = {}
    for k, order in ((1, np.arange(12)), (2, np.arange(12)[::-1])):
        parts = zip(("train", "val", "test"), np.split(order, np.cumsum(counts)[:2]), strict=True)
        lists |= {f"{part}_{k}": SplitList(rows, scores[rows]) for part, rows in parts}
    return make_collection(ids, done=range(12), splits=lists)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with images, their features of a trunk with random weights (one augmented view), and a run."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("images", "splits"):
        (folder / name).mkdir()
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{i}.png")
    for part, numbers in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 8))):
        (folder / "splits" / f"{part}_1.txt").write_text("".join(f"{i}.png {i / 10}\n" for i in numbers))
    words = ["--dataset", "lamem", "--root", folder, "--augs", 1, "--weights", "untrained", "--precision", "float32"]
    assert CliRunner().invoke(extract, [str(w) for w in [*words, "--out", folder / "f.h5"]]).exit_code == 0
    words = ["--features", folder / "f.h5", "--out", folder / "run", "--epochs", 1, "--hidden", 8, "--device", "cpu"]
    assert CliRunner().invoke(head, ["train", *map(str, words)]).exit_code == 0
    return folder
