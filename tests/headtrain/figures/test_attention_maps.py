"""Attention as pictures: where a view's weights lie on its image."""

import numpy as np
import pytest

from headtrain.figures.attention_maps import heat_map, on_image


def peak_at(row, column):
    """(196,): all attention at one place of the view."""
    attention = np.full((14, 14), 1e-4, np.float32)
    attention[row, column] = 1
    return (attention / attention.sum()).ravel()


def brightest(heat):
    """Row and column."""
    return np.unravel_index(np.nanargmax(heat), heat.shape)


def test_a_heat_map_runs_from_0_to_255_and_is_brightest_where_the_weight_is():
    heat = heat_map(peak_at(2, 11), 280, 140)
    assert heat.shape == (140, 280)
    assert heat.min() == 0
    assert heat.max() > 250  # a smooth filter rounds a single place off
    row, column = brightest(heat.astype(float))
    assert row == pytest.approx(2.5 * 10, abs=5)
    assert column == pytest.approx(11.5 * 20, abs=10)


def test_uniform_attention_is_a_flat_map():
    assert np.ptp(heat_map(np.full(196, 1 / 196, np.float32), 50, 50)) == 0


@pytest.mark.parametrize(("flip", "column"), [(0, 100 + 11.5 * 20), (1, 100 + 2.5 * 20)])
def test_a_flipped_view_maps_back_to_the_right_side(flip, column):
    """The view is 280 pixels wide and begins at column 100; place 11 of 14 is on the right unless it was flipped."""
    heat = on_image(peak_at(4, 11), np.array([40, 100, 140, 280, flip]), 500, 300)
    found = brightest(heat)
    assert found[0] == pytest.approx(40 + 4.5 * 10, abs=6)
    assert found[1] == pytest.approx(column, abs=12)


def test_around_the_view_there_is_nothing():
    heat = on_image(peak_at(0, 0), np.array([10, 20, 30, 40, 0]), 100, 80)
    assert heat.shape == (80, 100)
    assert np.isfinite(heat[10:40, 20:60]).all()
    assert np.isfinite(heat).sum() == 30 * 40


def test_a_box_that_rounding_puts_over_the_edge_is_cut():
    heat = on_image(peak_at(13, 13), np.array([-0.6, -0.6, 80.8, 100.9, 1]), 100, 80)
    assert heat.shape == (80, 100)
    assert np.isfinite(heat).all()
