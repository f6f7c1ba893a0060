"""Predictions as a file: bit for bit, whole or not at all, and bad lines by their number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.errors import OutputError, RunError
from headtrain.evaluation.predictions import Predictions, read_predictions, write_predictions

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
IDS = st.one_of(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.just('\udcff, ".jpg'))


def refused(tmp_path, text):
    """What reading `text` says, without the folder."""
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(RunError) as caught:
        read_predictions(path)
    return str(caught.value).replace(f"{tmp_path}/", "")


@given(st.lists(st.tuples(IDS, FLOATS, FLOATS), min_size=1, max_size=5))
def test_predictions_come_back_bit_for_bit(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("p") / "p.csv"
    ids, predicted, scores = zip(*lines, strict=True)
    write_predictions(path, Predictions(ids, np.array(predicted), np.array(scores)))
    found = read_predictions(path)
    assert found.ids == ids
    assert found.predicted.tobytes() == np.array(predicted).tobytes()
    assert found.scores.tobytes() == np.array(scores).tobytes()


def test_the_columns_are_id_score_predicted(tmp_path):
    write_predictions(tmp_path / "p.csv", Predictions(("a.jpg",), np.float32([0.5]), np.array([0.1])))
    assert (tmp_path / "p.csv").read_text() == "id,score,predicted\na.jpg,0.1,0.5\n"


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "p.csv").mkdir()
    with pytest.raises(OutputError, match=r"p\.csv: cannot be written: Is a directory"):
        write_predictions(tmp_path / "p.csv", Predictions(("a",), np.ones(1), np.ones(1)))
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_predictions_refuse_other_lengths():
    with pytest.raises(RunError, match=r"expected 2 predicted and human scores, found \(1,\), \(2,\)"):
        Predictions(("a", "b"), np.ones(1), np.ones(2))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "p.csv:1: expected id,score,predicted, found ''"),
        ("id,score\n", "p.csv:1: expected id,score,predicted, found 'id,score'"),
        ("id,score,predicted\n", "p.csv:2: expected at least one image, found none"),
        ("id,score,predicted\na,1,2\nb,1\n", "p.csv:3: expected 3 cells, found 2"),
        ("id,score,predicted\na,1,high\n", "p.csv:2: expected a finite number as predicted, found 'high'"),
        ("id,score,predicted\na,nan,1\n", "p.csv:2: expected a finite number as score, found 'nan'"),
        ('id,score,predicted\n"a,1,1\n', "p.csv:2: expected lines of CSV, found: unexpected end of data"),
    ],
)
def test_reading_names_the_bad_line(tmp_path, text, wanted):
    assert refused(tmp_path, text) == wanted


def test_reading_refuses_a_missing_file(tmp_path):
    with pytest.raises(RunError, match=r"none\.csv: cannot be read: No such file"):
        read_predictions(tmp_path / "none.csv")
