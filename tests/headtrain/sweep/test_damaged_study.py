"""A study.db that is damaged, or is none, is refused in one line, or read where what is damaged does not matter."""

import os
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amnet_common.errors import AmnetError, RunError
from headtrain.sweep.grid import read_axis
from headtrain.sweep.space import read_range
from headtrain.sweep.study import STUDY, Search

AXES, RANGES = [read_axis("dropout=0.1,0.3")], [read_range("lr=1e-5:1e-2:log")]


def opened(out):
    search = Search(out, AXES, RANGES, 0, {"split": 1})
    return search.unfinished(), search.finished, search.ask(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a study with two trials, one of them finished."""
    out = tmp_path_factory.mktemp("study")
    search = Search(out, AXES, RANGES, 0, {"split": 1})
    first, _ = search.ask(2)
    search.tell(first, 0.5)
    return (out / STUDY).read_bytes()


@pytest.mark.parametrize("statement", [
    "update study_user_attributes set value_json = '[['", "update study_user_attributes set value_json = null",
    "delete from studies", "update trials set state = 'X'",
    "update trials set datetime_start = 'then'", "update trial_params set distribution_json = '{}'",
    "update trial_params set param_value = 'high'",
    "update trial_params set param_value = 9 where param_name = 'dropout'",
    "update trial_values set value_type = 'X'", "update alembic_version set version_num = 'v9'",
])  # fmt: skip
def test_odd_values_in_a_study_are_refused_in_one_line(whole, tmp_path, statement):
    (tmp_path / STUDY).write_bytes(whole)
    with sqlite3.connect(tmp_path / STUDY) as database:
        database.execute(statement)
    database.close()
    with pytest.raises(RunError, match=f"{STUDY}: expected a study of this version of Optuna, found another") as raised:
        opened(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [
    lambda path, _: path.mkdir(), lambda path, _: os.mkfifo(path), lambda path, _: path.write_bytes(b"x" * 5000),
    lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), lambda path, whole: path.write_bytes(whole[:99]),
])  # fmt: skip
def test_what_is_no_study_is_refused_at_once(whole, tmp_path, make):
    make(tmp_path / STUDY, whole)
    with pytest.raises(RunError, match=f"{STUDY}: expected a study of "):
        opened(tmp_path)


@settings(max_examples=15)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)), min_size=1))
def test_a_study_with_other_bytes_is_read_or_refused(whole, tmp_path_factory, edits):
    out, content = tmp_path_factory.getbasetemp(), bytearray(whole)
    for place, new in edits:
        at = int(place * len(content))
        content[at : at + len(new)] = new
    (out / STUDY).write_bytes(content)
    refusal = ""
    try:
        opened(out)
    except AmnetError as error:
        refusal = str(error)
    assert "\n" not in refusal
