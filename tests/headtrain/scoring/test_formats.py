"""Formats of score tables: every one gives back what was written, and says where a table is none of ours.

A new format needs no test of its own: it stands in FORMATS, and these run for it.
"""

import json

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.errors import ConfigError, ExtraError, RunError
from headtrain.scoring.formats import FORMATS, READERS, WRITERS, format_of, read_rows, write_whole
from headtrain.scoring.rows import FAILED, PENDING, SCORED, ScoreRow

STEPS = 3
FIGURES = st.floats(-1e6, 1e6, width=32)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
IMAGES = TEXTS.filter(bool)
SCORED_ROWS = st.builds(
    ScoreRow, id=IMAGES, status=st.just(SCORED), collection=TEXTS, score=FIGURES, spread=st.none() | FIGURES,
    steps=st.tuples(*[FIGURES] * STEPS), entropy=FIGURES, features=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)  # fmt: skip
OTHER_ROWS = st.builds(ScoreRow, id=IMAGES, status=st.sampled_from([FAILED, PENDING]), collection=TEXTS, reason=TEXTS)
ROWS = [
    ScoreRow("a.jpg", SCORED, "t.h5", 0.5, (0.1, 0.2, 0.2), None, 0.75, features="0123abcd"),
    ScoreRow('b, "b".jpg', FAILED, "t.h5", reason="empty file, or none"),
]


def test_every_format_can_be_written_and_read():
    assert set(WRITERS) == set(READERS) == set(FORMATS)


@pytest.mark.parametrize("kind", FORMATS)
@given(rows=st.lists(SCORED_ROWS | OTHER_ROWS, max_size=4))
def test_a_table_gives_back_what_was_written(tmp_path_factory, kind, rows):
    path = tmp_path_factory.getbasetemp() / f"s.{kind}"
    write_whole(path, kind, rows, STEPS)
    found = list(read_rows(path, kind, STEPS))
    assert [(row.id, row.status, row.collection, row.reason, row.features) for row in found] == [
        (row.id, row.status, row.collection, row.reason, row.features) for row in rows
    ]
    for row, written in zip(found, rows, strict=True):
        figures = [(one.score, one.spread, one.entropy, *one.steps) for one in (row, written)]
        assert [value is None for value in figures[0]] == [value is None for value in figures[1]]
        np.testing.assert_allclose(*np.array(figures, float), rtol=1e-8)


def test_a_parquet_file_is_one_that_pyarrow_reads_with_numbers_as_numbers(tmp_path):
    write_whole(tmp_path / "s.parquet", "parquet", ROWS, STEPS)
    found = pyarrow.parquet.read_table(tmp_path / "s.parquet")
    assert str(found.schema.field("score").type) == "double"
    assert found.column("score").null_count == 1


def test_json_lines_have_null_where_there_is_no_figure(tmp_path):
    write_whole(tmp_path / "s.jsonl", "jsonl", ROWS, STEPS)
    assert [json.loads(line)["score"] for line in (tmp_path / "s.jsonl").read_text().splitlines()] == [0.5, None]


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExtraError, match=r"pip install 'amnet\[parquet\]'"):
        format_of(tmp_path / "s.parquet", None)


def test_an_ending_that_says_no_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=rf"expected a file ending in \.{', .'.join(FORMATS)}, found \.nothing"):
        format_of(tmp_path / "s.nothing", None)


def test_a_table_of_something_else_is_named_with_its_row(tmp_path):
    (tmp_path / "s.csv").write_text("id,score\na.jpg,0.5\n")
    with pytest.raises(RunError, match=r"s\.csv: row 1: expected a table of amnet-head score with 3 steps"):
        list(read_rows(tmp_path / "s.csv", "csv", 3))


def test_rows_of_images_without_features_have_nothing_but_their_status():
    row = ScoreRow("a.jpg", PENDING, "t.h5")
    assert (row.score, row.steps, row.spread, row.entropy) == (None, (), None, None)
