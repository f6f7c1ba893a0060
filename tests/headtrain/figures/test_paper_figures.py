"""Figures 4, 6 and 7: what stands in them."""

import numpy as np
import pytest
from scipy import stats

from headtrain.evaluation.predictions import Predictions
from headtrain.evaluation.published import FIGURES
from headtrain.figures.paper_figures import Steps, comparison, histogram, slope_figure, slopes
from headtrain.runs.documents import Result
from headtrain.runs.results import RunResult


@pytest.fixture
def results(tmp_path):
    """Two splits of 50 images, predictions that follow the scores."""
    found = []
    for k in (1, 2):
        draw = np.random.default_rng(k)
        scores = draw.random(50)
        ids = tuple(f"{i}.jpg" for i in range(50))
        found.append(RunResult(Result(tmp_path, k), Predictions(ids, scores / 2 + 0.1 * draw.random(50), scores)))
    return found


def test_slopes_are_those_of_least_squares_lines():
    steps = np.random.default_rng(0).random((20, 4))
    wanted = [stats.linregress(np.arange(1, 5), row).slope for row in steps]
    np.testing.assert_allclose(slopes(steps), wanted, atol=1e-12)


def test_the_histogram_counts_the_test_images_of_all_splits(results):
    (axes,) = histogram(results, "run").axes
    assert sum(patch.get_height() for patch in axes.containers[0].patches) == 100
    assert "2 splits" in axes.get_ylabel()


def test_the_slope_figure_has_a_point_an_image_and_its_rank_correlation():
    scores = np.linspace(0.2, 0.9, 30)
    (axes,) = slope_figure(Steps(scores, np.outer(scores, [1.0, 2.0, 3.0])), "run").axes
    assert len(axes.collections[0].get_offsets()) == 30
    assert axes.get_legend_handles_labels()[1] == ["rho 1.000"]


def test_the_comparison_orders_runs_among_the_published_figures_of_their_data(results):
    (axes,) = comparison([("ours", results)], "SUN").axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted([f.system for f in FIGURES if f.data == "SUN"] + ["ours"])
    lengths = [patch.get_width() for patch in axes.patches]
    assert lengths == sorted(lengths)
    assert lengths[names.index("ours")] == pytest.approx(np.mean([result.metrics.rho for result in results]))
    assert "not comparable" not in axes.get_title()


def test_on_other_images_the_published_figures_are_said_to_be_of_lamem_and_not_comparable(results):
    (axes,) = comparison([("ours", results)], None).axes
    assert axes.get_title() == "published on LaMem (light), these runs (dark): other images, not comparable"
