"""Ridge regression beside a head: on the same lists, and without a look at a list that is closed."""

import math

import numpy as np
import pytest
from scipy import stats

from headtrain.evaluation import beside
from headtrain.evaluation.baselines import RIDGE_STRENGTHS
from headtrain.evaluation.beside import Beside, better_line, ridge_rho
from headtrain.features.splits import split_subsets


def pooled(collection, rows):
    return collection.read(rows).astype(np.float64).mean((1, 2))  # (n, D) of view 0


def by_hand(collection, train, judged):
    """Rho of the ridge of the best leave-one-out strength, each left-out image by a fit of its own."""
    x, z = pooled(collection, train.rows), pooled(collection, judged.rows)
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, z, y = (x - mean) / std, (z - mean) / std, train.scores

    def fitted(keep, strength):
        gram = x[keep] @ x[keep].T + strength * np.eye(keep.sum())
        return x[keep].T @ np.linalg.solve(gram, y[keep] - y.mean()), y.mean()

    def error(strength):
        kept = [np.arange(len(y)) != i for i in range(len(y))]
        return sum((x[~keep] @ w + b - y[~keep]).item() ** 2 for keep in kept for w, b in [fitted(keep, strength)])

    w, b = fitted(np.ones(len(y), bool), min(RIDGE_STRENGTHS, key=error))
    return stats.spearmanr(z @ w + b, judged.scores).statistic


@pytest.mark.parametrize("tested", [True, False])
def test_ridge_is_judged_on_the_test_list_or_on_the_validation_list_alone(make_learnable, tested, monkeypatch):
    collection = make_learnable()
    subsets = split_subsets(collection, 1, 0, False)
    judged, closed = (subsets.test, subsets.val) if tested else (subsets.val, subsets.test)
    wanted = by_hand(collection, subsets.train, judged)
    read, seen = collection.batches, []

    def batches(picks, *args, **kwargs):
        for pick, features in read(picks, *args, **kwargs):
            seen.extend(pick.rows.tolist())
            yield pick, features

    monkeypatch.setattr(collection, "batches", batches)
    assert ridge_rho(collection, subsets, tested) == pytest.approx(wanted, abs=1e-9)
    assert set(seen) == {*subsets.train.rows, *judged.rows}
    assert not set(seen) & set(closed.rows)


def test_many_training_images_are_left_to_the_baselines(make_learnable, monkeypatch):
    monkeypatch.setattr(beside, "MOST_IMAGES", 23)
    collection = make_learnable()
    assert math.isnan(ridge_rho(collection, split_subsets(collection, 1, 0, False), True))


def test_only_a_better_model_is_named():
    one = "note: r: ridge reaches test rho 0.5000: more than this head, 0.4000"
    assert better_line("r", "ridge", [Beside(0.4, 0.5)], "test") == one
    assert better_line("r", "ridge", [Beside(0.3, 0.6), Beside(0.5, 0.4)], "test") == f"{one} (means of 2 splits)"
    for head, other in ((0.5, 0.5), (0.5, 0.4), (math.nan, 0.5), (0.5, math.nan)):
        assert better_line("r", "ridge", [Beside(head, other)], "test") == ""
    assert better_line("r", "ridge", [], "test") == ""
