"""Metrics against scipy and by hand."""

import math

import numpy as np
from scipy import stats

from headtrain.metrics import evaluate, spearman


def test_spearman_averages_the_ranks_of_ties():
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 5, 300), draw.integers(0, 5, 300) + 0.0
    wanted = np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]
    assert math.isclose(spearman(a, b), wanted, rel_tol=1e-9)


def test_spearman_of_constant_predictions_is_no_number():
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_evaluate_gives_the_mean_squared_error_and_the_count():
    metrics = evaluate(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.7]))
    assert math.isclose(metrics.mse, (0.01 + 0.04) / 3)
    assert (metrics.rho, metrics.n) == (1.0, 3)
