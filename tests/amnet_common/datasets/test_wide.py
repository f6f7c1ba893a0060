"""A column for each person: the same means, counts and agreement as of one row a rating."""

import numpy as np
import pytest

from amnet_common.datasets.columns import Columns
from amnet_common.datasets.label_table import read_label_table
from amnet_common.errors import ConfigError, DatasetError


@pytest.fixture
def ratings():
    """Ratings (12 images, 6 people) between 1 and 7, of which some are missing."""
    drawn = np.random.default_rng(1).integers(1, 8, (12, 6)).astype(float)
    drawn[3, 2] = drawn[7] = np.nan
    return drawn


def cell(value):
    return "" if np.isnan(value) else f"{value:g}"


def wide(tmp_path, ratings, header="image;{}", more=""):
    people = ";".join(f"P{k + 1}" for k in range(6))
    lines = [f"{image}.jpg;{';'.join(map(cell, row))}{more}" for image, row in enumerate(ratings)]
    (tmp_path / "wide.csv").write_text("\n".join([header.format(people), *lines]) + "\n")
    return tmp_path / "wide.csv"


def test_a_column_a_person_is_read_as_a_row_a_rating(tmp_path, ratings):
    lines = [f"{image}.jpg,P{k + 1},{cell(value)}" for (image, k), value in np.ndenumerate(ratings)]
    (tmp_path / "long.csv").write_text("\n".join(["id,rater,score", *lines]) + "\n")
    long = read_label_table(tmp_path, tmp_path / "long.csv")
    found = read_label_table(tmp_path, wide(tmp_path, ratings), Columns(raters="P*"))
    assert found.ids == long.ids
    np.testing.assert_array_equal(found.labels, long.labels)
    assert found.labels[0] == ratings[0].mean()
    assert np.isnan(found.labels[7])
    assert found.about["ratings"] == long.about["ratings"]
    assert f"{tmp_path}/wide.csv: 6 columns of raters, P1 to P6" in found.notes


def test_columns_are_named_one_by_one_too_and_a_split_stays_beside_them(tmp_path, ratings):
    kept = [row for row in range(12) if row != 7]
    path = wide(tmp_path, ratings[kept], "image;{};split", ";test")
    some = read_label_table(tmp_path, path, Columns(raters="p2, P4"))
    np.testing.assert_array_equal(some.labels, ratings[kept][:, [1, 3]].mean(1))
    assert some.splits["test_1"].rows.tolist() == list(range(11))


def test_a_table_that_looks_wide_is_told_its_option(tmp_path, ratings):
    with pytest.raises(DatasetError) as told:
        read_label_table(tmp_path, wide(tmp_path, ratings))
    assert told.value.__notes__[-1] == "P1 to P6 look like one column a person: --rater-columns 'P*' takes their mean"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("Q*", r"expected names or patterns of columns of .*, found 'q\*' and the columns 'image, P1"),
        ("P1", "expected two columns or more"),
        ("*", "7 of the 7 columns"),
        (",", "0 of the 7 columns"),
    ],
)
def test_patterns_of_no_people_are_refused(tmp_path, ratings, wanted, said):
    with pytest.raises(ConfigError, match=said):
        read_label_table(tmp_path, wide(tmp_path, ratings), Columns(raters=wanted))


def test_a_score_beside_the_people_is_refused(tmp_path, ratings):
    with pytest.raises(DatasetError, match=r"wide\.csv:1: --rater-columns P\*: expected no column score beside"):
        read_label_table(tmp_path, wide(tmp_path, ratings, "image;{};score", ";4"), Columns(raters="P*"))


def test_two_ways_of_naming_the_scores_are_refused():
    with pytest.raises(ConfigError, match="--rater-columns: expected no --score-column beside it"):
        Columns(score="mean", raters="P*")


def test_a_slip_is_named_by_the_line_of_its_row(tmp_path, ratings):
    path = wide(tmp_path, ratings)
    lines = path.read_text().splitlines()
    lines[3] = "2.jpg;x;1;2;3;4;5"
    path.write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=r"wide\.csv:4: expected a number as score, found 'x'"):
        read_label_table(tmp_path, path, Columns(raters="P*"))
