"""Baselines against plain linear algebra."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError, MissingRowsError
from headtrain.evaluation import baselines
from headtrain.evaluation.baselines import Pooled, constant, kernel_ridge, pooled, ridge
from headtrain.evaluation.metrics import spearman
from headtrain.features.splits import Subset, Subsets

TRAIN, VAL, TEST = np.arange(60), np.arange(60, 80), np.arange(80, 100)


class Fake:
    """`Pooled` features without a file: 8 channels, three of which carry the score; every view has its own noise."""

    views = 3

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.scores = draw.uniform(0.3, 0.9, 100)
        self.features = draw.normal(0, 0.2, (3, 100, 8))
        self.features[..., :3] += np.sin(4 * self.scores)[:, None] * [1, 2, 3]
        self.collection = self

    def take(self, rows, views):
        return self.features[list(views)].mean(0)[rows]

    def subsets(self):
        return Subsets("val_1", *(Subset(rows, self.scores[rows], 0) for rows in (TRAIN, VAL, TEST)))


def standardised(x):
    return (x - x[TRAIN].mean(0)) / (x[TRAIN].std(0) + 1e-6)


def test_constant_is_the_training_mean():
    fake = Fake()
    found = constant(fake, fake.subsets())
    assert np.array_equal(found.test, np.full(20, fake.scores[TRAIN].mean()))
    assert found.val.shape == (20,)


def test_ridge_solves_the_normal_equations_on_view_0():
    fake = Fake()
    found = ridge(fake, fake.subsets())
    strength = float(found.chosen.split()[1])
    x, y = standardised(fake.features[0]), fake.scores[TRAIN]
    rows = np.concatenate([x[TRAIN], np.sqrt(strength) * np.eye(8)])  # ridge as least squares with 8 more lines
    w = np.linalg.lstsq(rows, np.concatenate([y - y.mean(), np.zeros(8)]))[0]
    assert np.allclose(found.test, x[TEST] @ w + y.mean())
    assert np.allclose(found.val, x[VAL] @ w + y.mean())


def exact_kernel_ridge(fake, width_factor, strength):
    """(100,) predictions, one loop a pair."""
    x, y = standardised(fake.features.mean(0)), fake.scores[TRAIN]
    squares = np.array([[((a - b) ** 2).sum() for b in x] for a in x])  # (100, 100)
    width = width_factor * np.median(np.sqrt(squares[:60, :60][np.triu_indices(60, 1)]))
    kernel = np.exp(-squares / (2 * width**2))
    return kernel[:, TRAIN] @ np.linalg.solve(kernel[:60, :60] + strength * np.eye(60), y - y.mean()) + y.mean()


def chosen_numbers(found):
    words = found.chosen.replace(",", "").split()
    width = float(words[1])
    return width, min(baselines.KERNEL_STRENGTHS, key=lambda s: abs(s - float(words[words.index("strength") + 1])))


def test_kernel_ridge_solves_its_equation_on_the_mean_of_all_views():
    fake = Fake()
    found = kernel_ridge(fake, fake.subsets())
    wanted = exact_kernel_ridge(fake, *chosen_numbers(found))
    assert np.allclose(found.val, wanted[VAL])
    assert np.allclose(found.test, wanted[TEST])


def test_kernel_ridge_takes_the_best_of_the_grid_on_validation(monkeypatch):
    fake = Fake()
    monkeypatch.setattr(baselines, "KERNEL_STRENGTHS", (1e-3, 0.1, 10.0))
    rhos = [
        spearman(exact_kernel_ridge(fake, width, strength)[VAL], fake.scores[VAL])
        for width in baselines.WIDTHS
        for strength in baselines.KERNEL_STRENGTHS
    ]
    found = spearman(kernel_ridge(fake, fake.subsets()).val, fake.scores[VAL])
    assert abs(found - max(rhos)) < 1e-9


def test_as_many_landmarks_as_images_give_the_exact_kernel_ridge(monkeypatch):
    fake = Fake()
    exact = kernel_ridge(fake, fake.subsets())
    monkeypatch.setattr(baselines, "KERNEL_IMAGES", 59)
    monkeypatch.setattr(baselines, "LANDMARKS", 60)
    monkeypatch.setattr(baselines, "CHUNK", 7)
    found = kernel_ridge(fake, fake.subsets())
    assert found.chosen == f"{exact.chosen}, 60 landmarks of 60 images"
    assert np.allclose(found.test, exact.test, atol=1e-4)


def test_few_landmarks_are_repeatable_and_close(monkeypatch):
    fake = Fake()
    exact = kernel_ridge(fake, fake.subsets())
    monkeypatch.setattr(baselines, "KERNEL_IMAGES", 59)
    monkeypatch.setattr(baselines, "LANDMARKS", 30)
    found, again = (kernel_ridge(fake, fake.subsets()) for _ in range(2))
    assert np.array_equal(found.test, again.test)
    assert "30 landmarks of 60 images" in found.chosen
    assert spearman(found.test, exact.test) > 0.9


def test_pooling_is_the_mean_over_places_and_views(make_collection, monkeypatch):
    monkeypatch.setattr(baselines, "BATCH_VIEWS", 4)  # two images a batch
    collection = Collection(make_collection(done=(0, 1, 3)))
    found = pooled(collection, np.array([3, 0, 1]), range(2))
    wanted = [
        np.mean([make_collection.features_of(row, view).astype(np.float64) for view in range(2)], axis=(0, 1, 2))
        for row in (3, 0, 1)
    ]
    assert np.allclose(found, wanted, rtol=1e-6)


def test_pooling_dequantises(tmp_path, spec):
    codes = np.random.default_rng(0).integers(0, 256, VIEW_SHAPE, np.uint8)
    scales = np.linspace(0.01, 0.02, VIEW_SHAPE[-1], dtype=np.float32)
    path = tmp_path / "codes.h5"
    dataset = Dataset("test", tmp_path, ("a.jpg",), {"train_1": SplitList(np.array([0]), np.array([0.5]))})
    quantised = replace(spec, dtype="uint8", scales_sha256=scales_sha256(scales))
    create_skeleton(path, dataset, 1, quantised, {"mode": "eager"}, {}, scales=scales)
    with RowWriter(path) as writer:
        writer.write_view(0, 0, codes)
        writer.finish(0, ImageFacts(width=30, height=20), np.zeros((1, 5), np.float32))
    found = pooled(Collection(path), np.array([0]), [0])
    assert np.allclose(found[0], codes.mean((0, 1)) * scales, rtol=1e-6)


def test_kept_features_are_not_read_again(make_collection, monkeypatch):
    kept = Pooled(Collection(make_collection(done=(0, 1, 3))))
    read = []
    monkeypatch.setattr(
        baselines, "pooled", lambda c, rows, views: read.append(rows.tolist()) or pooled(c, rows, views)
    )
    first, again = (kept.take(np.array([3, 0, 3]), [0]) for _ in range(2))
    kept.take(np.array([1, 0]), [0])
    kept.take(np.array([0]), [0, 1])
    assert np.array_equal(first, again)
    assert [rows for rows in read if rows] == [[0, 3], [1], [0]]


def test_pooling_refuses_rows_without_features(make_collection):
    with pytest.raises(MissingRowsError, match=r"row 2 \(c\.jpg\), found it pending"):
        Pooled(Collection(make_collection(done=(0, 1, 3)))).take(np.array([0, 2]), [0])


def test_pooling_refuses_damaged_features(make_collection):
    path = make_collection(done=(0,))
    offset = Collection(path).parts[0].planes.features.offset
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\x12\x34")
    with pytest.raises(CollectionError, match=r"row 0 \(a\.jpg\) view 0: expected checksum"):
        pooled(Collection(path), np.array([0]), [0])


def test_the_strength_makes_the_matrix_solvable():
    matrix = np.ones((3, 3))
    ((strength, found),) = baselines._solutions(matrix, np.ones(3), [0.5])
    assert strength == 0.5
    assert np.allclose(found, linalg.inv(matrix + 0.5 * np.eye(3)) @ np.ones(3))
