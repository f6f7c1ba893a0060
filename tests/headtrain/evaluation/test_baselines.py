"""Baselines against plain linear algebra."""

from dataclasses import replace

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError, MissingRowsError, RunError
from headtrain.evaluation import baselines
from headtrain.evaluation import kernel_ridge as kernel_ridges
from headtrain.evaluation import pooled as pooling
from headtrain.evaluation.baselines import constant, exponential_kernel, kernel_ridge, moments_kernel, ridge
from headtrain.evaluation.kernel_ridge import best_left_out, exponential, fit, ridge_solutions
from headtrain.evaluation.metrics import spearman
from headtrain.evaluation.pooled import Pooled, Statistics, pooled
from headtrain.features.splits import Subset, Subsets

TRAIN, VAL, TEST = np.arange(60), np.arange(60, 80), np.arange(80, 100)


class Fake:
    """`Pooled` features without a file: 8 channels, three of which carry the score; every view has its own noise."""

    views, view_shape = 3, (14, 14, 8)

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.scores = draw.uniform(0.3, 0.9, 100)
        self.features = draw.normal(0, 0.2, (3, 100, 8))
        self.features[..., :3] += np.sin(4 * self.scores)[:, None] * [1, 2, 3]
        self.collection = self

    def known(self, views):
        mean = self.features[list(views)].mean(0)
        return Statistics(mean, np.concatenate([mean, np.abs(mean), np.cos(mean)], axis=1))

    def take(self, rows, views):
        return Statistics(*(part[rows] for part in self.known(views)))

    def subsets(self):
        return Subsets("val_1", *(Subset(rows, self.scores[rows], 0) for rows in (TRAIN, VAL, TEST)))


def standardised(x):
    return (x - x[TRAIN].mean(0)) / (x[TRAIN].std(0) + 1e-6)


def test_constant_is_the_training_mean():
    fake = Fake()
    found = constant(fake, fake.subsets())
    assert np.array_equal(found.test, np.full(20, fake.scores[TRAIN].mean()))
    assert found.val.shape == (20,)


def number_in(found):
    return float(found.chosen.split("strength ")[1].split(",")[0])


def without_each(fit, x, y):
    """What `fit(x, y)`, a function that predicts, says of each line when it is fitted without it."""
    kept = [np.arange(len(x)) != i for i in range(len(x))]
    return np.array([fit(x[keep], y[keep])(x[i : i + 1])[0] for i, keep in enumerate(kept)])


def ridge_fit(strength):
    """Ridge with an intercept as least squares with as many more lines as there are columns."""

    def fitted(x, y):
        D = x.shape[1]
        lines = np.c_[np.r_[x, np.sqrt(strength) * np.eye(D)], np.r_[np.ones(len(x)), np.zeros(D)]]
        w = np.linalg.lstsq(lines, np.r_[y, np.zeros(D)])[0]
        return lambda new: new @ w[:-1] + w[-1]

    return fitted


def kernel_fit(shape, width, strength):
    """Kernel ridge with an intercept: (K + s I) a + b 1 = y, 1'a = 0."""

    def fitted(x, y):
        def kernel(a, b):
            return shape(np.array([[np.sqrt(((i - j) ** 2).sum()) for j in b] for i in a]) / width)

        ones = np.ones((len(x), 1))
        whole = np.block([[kernel(x, x) + strength * np.eye(len(x)), ones], [ones.T, 0]])
        *a, b = np.linalg.solve(whole, np.r_[y, 0])
        return lambda new: kernel(new, x) @ np.array(a) + b

    return fitted


SHAPES = {kernel_ridge: lambda d: np.exp(-(d**2) / 2), exponential_kernel: lambda d: np.exp(-d),
          moments_kernel: lambda d: np.exp(-d)}  # fmt: skip


def test_ridge_solves_the_normal_equations_on_view_0():
    fake = Fake()
    found = ridge(fake, fake.subsets())
    x, y = standardised(fake.features[0]), fake.scores[TRAIN]
    fitted = ridge_fit(baselines.RIDGE_STRENGTHS[np.argmin(np.abs(np.log(np.divide(baselines.RIDGE_STRENGTHS,
                                                                                  number_in(found)))))])  # fmt: skip
    predict = fitted(x[TRAIN], y)
    assert np.allclose(found.test, predict(x[TEST]))
    assert np.allclose(found.val, predict(x[VAL]))


def test_ridge_takes_the_strength_of_the_least_error_on_images_that_are_left_out(monkeypatch):
    fake, strengths = Fake(), (0.1, 3.0, 100.0, 3000.0)
    monkeypatch.setattr(baselines, "RIDGE_STRENGTHS", strengths)
    x, y = standardised(fake.features[0])[TRAIN], fake.scores[TRAIN]
    errors = [np.square(without_each(ridge_fit(strength), x, y) - y).mean() for strength in strengths]
    assert number_in(ridge(fake, fake.subsets())) == strengths[np.argmin(errors)]


@pytest.mark.parametrize("baseline", SHAPES)
def test_a_kernel_solves_its_equation_on_the_mean_of_all_views(baseline):
    fake = Fake()
    found = baseline(fake, fake.subsets())
    x, y = standardised(fake.known(range(3))[baseline is moments_kernel]), fake.scores[TRAIN]
    width = np.median([np.sqrt(((x[i] - x[j]) ** 2).sum()) for i in TRAIN for j in TRAIN if i < j])
    strength = min(kernel_ridges.STRENGTHS, key=lambda s: abs(np.log(s / number_in(found))))
    predict = kernel_fit(SHAPES[baseline], width, strength)(x[TRAIN], y)
    assert np.allclose(found.val, predict(x[VAL]))
    assert np.allclose(found.test, predict(x[TEST]))


@pytest.mark.parametrize("landmarks", [0, 60])
def test_left_out_predictions_are_those_of_fits_without_the_image(monkeypatch, landmarks):
    fake, strength = Fake(), 0.03
    x, y = standardised(fake.features[0])[TRAIN], fake.scores[TRAIN]
    monkeypatch.setattr(kernel_ridges, "STRENGTHS", (strength,))
    if landmarks:
        monkeypatch.setattr(kernel_ridges, "KERNEL_IMAGES", 59)
        monkeypatch.setattr(kernel_ridges, "LANDMARKS", landmarks)
        monkeypatch.setattr(kernel_ridges, "CHUNK", 7)
    found = fit(exponential, 3.0, x, y)
    wanted = without_each(kernel_fit(lambda d: np.exp(-d), 3.0, strength), x, y)
    assert np.allclose(found.left_out, wanted, atol=1e-6)
    assert found.strength == strength


@pytest.mark.parametrize("n", [20, 40])
def test_fewer_images_than_channels_do_not_make_the_weakest_penalty_look_best(n):
    """Centred channels and scores of all images but one tell the last one's exactly, and choose no penalty."""
    draw = np.random.default_rng(n)
    x = draw.normal(size=(n, 300))
    y = x[:, :30].mean(1) + draw.normal(0, 0.3, n) + 5  # mostly noise
    x, strengths = (x - x.mean(0)) / x.std(0), (0.1, 10.0, 1000.0)
    found = [*ridge_solutions(np.asarray, x, y, 300, strengths)]
    for one in found:
        assert np.allclose(one.left_out, without_each(ridge_fit(one.strength), x, y), atol=1e-6)
    assert best_left_out(found, y).strength > 0.1


def test_a_fit_follows_the_scores_wherever_their_zero_is():
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(30, 50)), draw.normal(size=30)
    here, there = fit(exponential, 8.0, x, y), fit(exponential, 8.0, x, y + 1000)
    assert there.strength == here.strength
    assert np.allclose(there.predict(x[:5] + 0.1), here.predict(x[:5] + 0.1) + 1000)


def test_as_many_landmarks_as_images_give_the_exact_kernel_ridge(monkeypatch):
    fake = Fake()
    exact = kernel_ridge(fake, fake.subsets())
    monkeypatch.setattr(kernel_ridges, "KERNEL_IMAGES", 59)
    monkeypatch.setattr(kernel_ridges, "LANDMARKS", 60)
    monkeypatch.setattr(kernel_ridges, "CHUNK", 7)
    found = kernel_ridge(fake, fake.subsets())
    assert found.chosen == exact.chosen
    assert np.allclose(found.test, exact.test, atol=1e-4)


def test_few_landmarks_are_repeatable_and_close(monkeypatch):
    fake = Fake()
    exact = kernel_ridge(fake, fake.subsets())
    monkeypatch.setattr(kernel_ridges, "KERNEL_IMAGES", 59)
    monkeypatch.setattr(kernel_ridges, "LANDMARKS", 30)
    found, again = (kernel_ridge(fake, fake.subsets()) for _ in range(2))
    assert np.array_equal(found.test, again.test)
    assert "30 landmarks of 60 images" in found.chosen
    assert spearman(found.test, exact.test) > 0.9


def statistics_of(features, row, views):
    """Mean, and the three moments, of (14, 14, D) a view, written out."""
    x = [features(row, view).astype(np.float64).reshape(196, -1) for view in views]
    return (np.mean([one.mean(0) for one in x], axis=0),
            np.mean([np.concatenate([one.mean(0), one.std(0), one.max(0)]) for one in x], axis=0))  # fmt: skip


def test_pooling_is_over_places_and_then_views(make_collection, monkeypatch):
    monkeypatch.setattr(pooling, "BATCH_VIEWS", 4)  # two images a batch
    collection = Collection(make_collection(done=(0, 1, 3)))
    found = pooled(collection, np.array([3, 0, 1]), range(2))
    wanted = [statistics_of(make_collection.features_of, row, range(2)) for row in (3, 0, 1)]
    for part, of_rows in zip(found, zip(*wanted, strict=True), strict=True):
        assert np.allclose(part, of_rows, rtol=1e-4)


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
    assert np.allclose(found.mean[0], codes.mean((0, 1)) * scales, rtol=1e-5)
    assert np.allclose(found.moments[0, -1024:], codes.max((0, 1)) * scales, rtol=1e-5)


def test_kept_features_are_not_read_again(make_collection, monkeypatch):
    kept = Pooled(Collection(make_collection(done=(0, 1, 3))))
    read = []
    monkeypatch.setattr(pooling, "pooled", lambda c, rows, views: read.append(rows.tolist()) or pooled(c, rows, views))
    first, again = (kept.take(np.array([3, 0, 3]), [0]) for _ in range(2))
    kept.take(np.array([1, 0]), [0])
    kept.take(np.array([0]), [0, 1])
    assert np.array_equal(first.moments, again.moments)
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


def test_images_that_are_all_alike_have_no_width():
    alike = np.ones((5, 3))
    alike[0] = 2
    assert kernel_ridges.median_distance(alike) == pytest.approx(np.sqrt(3))
    with pytest.raises(RunError, match="expected training images whose features differ, found them all alike"):
        kernel_ridges.median_distance(np.ones((5, 3)))
