"""Nadeau and Bengio's interval of a mean over splits, against the formula by hand."""

import math

import pytest

from headtrain.evaluation.resampled import corrected, mean_text, splits_word


def test_interval_is_that_of_the_formula():
    # mean 0.3; squares of the differences 0.01, 0, 0.01, 0.04, 0.04: s^2 = 0.1 / 4 = 0.025; 60 tested, 192 trained on
    # se = sqrt((1/5 + 60/192) * 0.025) = sqrt(0.0128125) = 0.1131923; Student's t of 4 degrees, 97.5 %: 2.7764451
    found = corrected([0.2, 0.3, 0.4, 0.5, 0.1], 60, 192)
    assert (found.mean, found.low, found.high) == pytest.approx((0.3, 0.3 - 0.3142723, 0.3 + 0.3142723), abs=1e-6)


def test_it_is_wider_than_that_of_independent_values():
    values = [0.2, 0.3, 0.4, 0.5, 0.1]
    found = corrected(values, 60, 192)
    assert found.high - found.mean > 2.7764451 * math.sqrt(0.025 / 5)


@pytest.mark.parametrize(("values", "test", "train"), [
    ([0.3], 60, 192), ([0.3, math.nan], 60, 192), ([], 60, 192), ([0.3, 0.4], 0, 192), ([0.3, 0.4], 60, 0),
])  # fmt: skip
def test_there_is_none_of_one_value_or_of_lists_of_unknown_length(values, test, train):
    assert corrected(values, test, train) is None
    assert mean_text(values, test, train, "folds") == ""


def test_the_method_is_named():
    text = mean_text([0.2, 0.3, 0.4, 0.5, 0.1], 60, 192, splits_word([object()] * 5))
    assert text == "mean of 5 folds: test rho 0.300, 95 % -0.014 to 0.614 (Nadeau and Bengio's corrected variance)"
    assert splits_word([object(), None]) == "splits"
