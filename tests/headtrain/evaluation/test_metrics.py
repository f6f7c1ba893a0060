"""Metrics against scipy and by hand."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from headtrain.evaluation.metrics import METRICS, evaluate, spearman, spearman_tie_free


def pair(n=300):
    draw = np.random.default_rng(0)
    scores = draw.uniform(0.2, 0.9, n)
    return 0.6 + 0.2 * scores + draw.normal(0, 0.05, n), scores


def test_spearman_averages_the_ranks_of_ties():
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 5, 300), draw.integers(0, 5, 300) + 0.0
    wanted = np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]
    assert math.isclose(spearman(a, b), wanted, rel_tol=1e-9)


def test_spearman_of_constant_predictions_is_no_number():
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_tie_free_formula_is_spearman_where_there_are_no_ties():
    assert math.isclose(spearman_tie_free(*pair()), stats.spearmanr(*pair()).statistic, rel_tol=1e-12)


def test_tie_free_formula_breaks_ties_by_order():
    a, b = np.array([1.0, 1.0, 0.0, 1.0]), np.array([3.0, 1.0, 2.0, 4.0])  # ranks 1 2 0 3 and 2 0 1 3: d^2 = 1 4 1 0
    assert math.isclose(spearman_tie_free(a, b), 1 - 6 * 6 / (4 * 15))
    ordinal = [stats.rankdata(side, "ordinal") for side in (a, b)]
    assert math.isclose(spearman_tie_free(a, b), np.corrcoef(*ordinal)[0, 1])


@pytest.mark.parametrize("function", [spearman, spearman_tie_free])
@pytest.mark.parametrize("a", [[0.5], [0.1, math.nan, 0.3]])
def test_no_rank_correlation_of_one_value_or_of_nan(function, a):
    assert math.isnan(function(np.array(a), np.arange(len(a)) + 0.0))


def test_evaluate_gives_the_mean_squared_error_and_the_count():
    metrics = evaluate(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.7]))
    assert math.isclose(metrics.mse, (0.01 + 0.04) / 3)
    assert (metrics.rho, metrics.rho_tie_free, metrics.n) == (1.0, 1.0, 3)


def test_evaluate_gives_pearson_and_the_least_squares_line():
    metrics, line = evaluate(*pair()), stats.linregress(*pair())
    found = (metrics.pearson, metrics.slope, metrics.intercept)
    assert np.allclose(found, (line.rvalue, line.slope, line.intercept), rtol=1e-12)


def test_evaluate_gives_the_ranges_of_predictions_and_scores():
    metrics = evaluate(np.array([0.6, 0.5, 0.7]), np.array([0.2, 0.9, 0.4]))
    found = (metrics.predicted_low, metrics.predicted_high, metrics.score_low, metrics.score_high)
    assert found == (0.5, 0.7, 0.2, 0.9)


def test_metrics_of_constant_predictions_are_json_with_null():
    values = evaluate(np.full(5, 0.1), np.arange(5.0)).as_dict()
    assert {"rho", "pearson", "slope", "intercept"} <= {name for name, value in values.items() if value is None}
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_a_figure_of_merit_is_shown_everywhere_by_its_description():
    """Every field with a column stands in the table and in the report, every one for the leaderboard on it."""
    from headtrain.leaderboard.board import BOARD
    from headtrain.leaderboard.table import COLUMNS
    from headtrain.leaderboard.text import ROUNDED

    assert {metric.column for metric in METRICS.values() if metric.column} <= set(COLUMNS)
    assert {metric.board for metric in METRICS.values() if metric.board} == set(BOARD) <= set(ROUNDED)
    assert set(evaluate(*pair()).as_dict()) == {*METRICS, "n"}


def test_a_single_heads_figure_has_one_digit_more_than_a_mean():
    assert METRICS["mse"].rounded(0.0123456) == "0.01235"
    assert METRICS["rho"].rounded(math.nan) == "undefined"
