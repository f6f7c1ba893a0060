"""Columns of numbers in the forms of many countries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.datasets.cells import COMMA, POINT, as_numbers, is_missing, text_of
from amnet_common.datasets.extremes import questions, range_line

VALUES = st.lists(st.integers(-(10**9), 10**9).map(lambda k: k / 100), min_size=1, max_size=20)


def written(value: float, mark: str, group: str) -> str:
    return f"{value:,.2f}".replace(",", "\0").replace(".", mark).replace("\0", group)


@pytest.mark.parametrize(("mark", "group"), [(".", ","), (",", "."), (".", ""), (",", ""), (",", " "), (",", "\u202f"),
                                             (".", "'"), (".", "\u2019"), (",", "\u00a0")])  # fmt: skip
@given(values=VALUES)
def test_a_column_with_two_digits_behind_the_mark_is_read_in_every_form(mark, group, values):
    found = as_numbers([written(value, mark, group) for value in values])
    assert (found.values.tolist(), found.bad, found.unclear) == (values, (), "")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_what_python_writes_is_read_bit_for_bit(values):
    found = as_numbers([repr(value) for value in values], POINT)
    assert found.values.tobytes() == np.array(values).tobytes()


@pytest.mark.parametrize("cells", [["1.234"], ["4.330", "5.125", "5"], ["1,234", "7"], ["-12.345"]])
def test_numbers_that_can_be_read_in_two_ways_are_not_guessed(cells):
    assert as_numbers(cells).unclear == cells[0]
    assert as_numbers(cells, POINT).unclear == as_numbers(cells, COMMA).unclear == ""
    assert as_numbers([*cells, "0.5"]).unclear == as_numbers([*cells, "0,5"]).unclear == ""


def test_a_number_before_which_no_thousands_can_stand_is_a_fraction():
    assert as_numbers(["0.823", "0.779"]).values.tolist() == [0.823, 0.779]
    assert as_numbers(["0,823", "0,779"]).values.tolist() == [0.823, 0.779]


@pytest.mark.parametrize(
    "text", ["1_0", "inf", "0x1", "1.2.3", "1,2,3.4", "1e999", "٣", "50%%", "five", "1 2", "1" * 500]
)
def test_what_is_no_number_is_named(text):
    assert as_numbers(["0.5", text, "0.7"]).bad == (1,)


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "#N/A", "NaN", "nan", ".", "-", "\u2013", "NULL", math.nan])
def test_there_are_many_words_for_no_value(cell):
    assert is_missing(cell)
    np.testing.assert_array_equal(as_numbers([cell, "1"]).values, [np.nan, 1])


def test_percent_and_plain_numbers_are_not_mixed():
    assert as_numbers(["50%", "7 %"]).values.tolist() == [0.5, 0.07]
    assert as_numbers(["50%", "7%", "0.3"]).bad == (2,)
    assert as_numbers(["0.5", "7%", "0.3"]).bad == (1,)


def test_numbers_of_a_spreadsheet_are_texts_as_people_write_them():
    assert [text_of(cell) for cell in (1.0, 0.5, math.nan, "x", 1e300)] == ["1", "0.5", "", "x", "1e+300"]


@pytest.mark.parametrize(("codes", "asked"), [
    ([-99, -99], ["-99"]), ([999], ["999"]), ([999, 999, -99], ["-99", "999"]), ([-1], ["-1"]),
    ([7, 7, 7], []), ([], []), ([0], []), ([8.5], []),
])  # fmt: skip
def test_codes_for_missing_scores_are_asked_about(codes, asked):
    scores = np.array([*np.linspace(1, 6.9, 40), np.nan, *codes])
    found = [*questions(scores)]
    assert [line.split(" stand for")[0].split("does ")[1] for line in found] == asked
    assert range_line(scores).startswith(f"{40 + len(codes)} scores from ")
