"""A small collection whose scores can be learnt, and a head small enough to train in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from headtrain.settings.configuration import Config, override
from headtrain.settings.presets import AMNET

COUNT = 40
LISTS = {"train_1": range(24), "val_1": range(24, 32), "test_1": range(32, 40)}


def fill(path: Path, scores: np.ndarray, rows: range) -> None:
    """Views of noise whose first half of the channels is lifted by the score."""
    with RowWriter(path) as writer:
        for row in rows:
            for view in range(2):
                features = np.random.default_rng([row, view]).random(VIEW_SHAPE, np.float32).astype(np.float16)
                features[..., :512] += 4 * scores[row]
                writer.write_view(row, view, features)
            writer.finish(row, ImageFacts(width=256, height=256), np.tile([16, 16, 224, 224, 0], (2, 1)))


@pytest.fixture(scope="session")
def scores() -> np.ndarray:
    """(COUNT,) scores between 0.3 and 0.9."""
    return np.random.default_rng(7).uniform(0.3, 0.9, COUNT)


@pytest.fixture
def make_learnable(tmp_path, spec, scores):
    """make(done=rows, lists=...) -> a collection of COUNT images with the lists train_1, val_1 and test_1."""

    def make(done: range = range(COUNT), lists=LISTS) -> Collection:
        splits = {name: SplitList(np.array(rows), scores[list(rows)]) for name, rows in lists.items()}
        path = tmp_path / "learnable.h5"
        ids = tuple(f"{row:02}.jpg" for row in range(COUNT))
        create_skeleton(path, Dataset("test", tmp_path, ids, splits), 2, spec, {"mode": "eager"}, {})
        fill(path, scores, done)
        return Collection(path)

    return make


@pytest.fixture
def small() -> Config:
    """The default preset with small layers, few epochs of one pass, no dropout and no averaging."""
    config = override(AMNET, hidden=16, regress_hidden=8, feature_dropout=0.0, regress_dropout=0.0)
    return override(config, learning_rate=3e-3, weight_average=0.0, batch_size=8, epochs=3, least_updates=0)


@pytest.fixture
def tiny() -> Config:
    """A head of 6 places and 5 channels, for equations."""
    config = override(AMNET, locations=6, channels=5, hidden=4, regress_hidden=3)
    return replace(config, head=replace(config.head, feature_dropout=0.4, regress_dropout=0.4))
