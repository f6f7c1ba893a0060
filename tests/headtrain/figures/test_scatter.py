"""Predicted against human scores: the points, the one scale, the diagonal and the calibration line."""

import numpy as np
import pytest
from scipy import stats

from headtrain.evaluation.predictions import Predictions
from headtrain.figures.pictures import save
from headtrain.figures.scatter import scatter_figure


def predicted_for(count, seed=0):
    draw = np.random.default_rng(seed)
    scores = draw.random(count)
    return Predictions(tuple(map(str, range(count))), 0.4 + scores / 3 + 0.1 * draw.random(count), scores)


def test_every_image_is_a_point_on_one_scale_of_both_axes():
    one, other = predicted_for(40), predicted_for(25, seed=1)
    panels = scatter_figure({"one": one, "other": other}).axes
    for axes, predictions in zip(panels, (one, other), strict=True):
        points = np.asarray(axes.collections[0].get_offsets())
        np.testing.assert_array_equal(points, np.stack([predictions.scores, predictions.predicted], axis=1))
        assert axes.get_xlim() == axes.get_ylim() == panels[0].get_xlim()
        assert axes.get_aspect() == 1
    assert [axes.get_title().split("\n")[0] for axes in panels] == ["one", "other"]


def test_the_lines_are_the_diagonal_and_that_of_least_squares():
    predictions = predicted_for(40)
    (axes,) = scatter_figure({"run": predictions}).axes
    diagonal, calibration = axes.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    line = stats.linregress(predictions.predicted, predictions.scores)
    said = np.asarray(calibration.get_ydata())
    np.testing.assert_allclose(calibration.get_xdata(), line.slope * said + line.intercept)
    assert f"rho {stats.spearmanr(predictions.predicted, predictions.scores).statistic:.3f}, 40 images" in (
        axes.get_title()
    )


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_predictions_all_alike_have_no_calibration_and_any_name_can_be_drawn(tmp_path, ending):
    alike = Predictions(("a", "b"), np.full(2, 0.5), np.array([0.2, 0.9]))
    others = {name: predicted_for(3) for name in "bcd"} | {"e": predicted_for(2500)}
    figure = scatter_figure({"run $x \udce9" + "/long" * 30: alike} | others)
    assert len(figure.axes) == 5
    assert len(figure.axes[0].lines) == 1
    save(figure, tmp_path / f"s.{ending}")
    assert (tmp_path / f"s.{ending}").stat().st_size < 1_000_000
