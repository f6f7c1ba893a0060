"""Attention as pictures: where a view's weights lie on its image."""

import numpy as np
import pytest

from headtrain.figures.attention_maps import entropy_of, heat_map, is_alike, on_image, peak_of, scaled


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


def test_colours_are_multiples_of_chance_whatever_else_the_map_holds():
    times = np.ones(196)
    times[:6] = 0.5, 1, 2, 4, 16, 100
    assert scaled(times / 196)[:6].tolist() == [0, 0, 64, 128, 255, 255]  # a quarter of the way for each doubling


def test_a_head_that_looks_everywhere_alike_has_no_bright_spots():
    nearly = np.random.default_rng(0).normal(1, 0.02, 196)
    nearly /= nearly.sum()
    assert heat_map(nearly, 140, 140).max() < 10
    assert is_alike(nearly)
    assert is_alike(np.full(196, 1 / 196, np.float32))


def test_one_clear_peak_is_not_everywhere_alike_though_its_entropy_is_high():
    attention = np.full(196, (1 - 6 / 196) / 195)
    attention[50] = 6 / 196
    assert entropy_of(attention) > 0.99
    assert peak_of(attention) == pytest.approx(6)
    assert not is_alike(attention)


def test_entropy_is_that_of_scipy():
    from scipy import stats

    attention = np.random.default_rng(1).dirichlet(np.full(196, 0.3))
    attention[3] = 0
    attention /= attention.sum()
    assert entropy_of(attention) == pytest.approx(stats.entropy(attention) / np.log(196))
