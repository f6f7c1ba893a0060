"""What other systems say of images, in tables as they and amnet write them."""

import re

import pytest

from amnet_common.datasets import Columns
from amnet_common.datasets.score_table import read_score_table
from amnet_common.errors import DatasetError

IDS = ("a.jpg", "b.jpg", "zeile\nzwei.jpg", "é.jpg", "caf\udce9.jpg", "=1.jpg")
OWN = ("id,score,step_1,spread,entropy,status,reason,features,collection\r\n"
       "a.jpg,0.5,0.5,,1,scored,,5ccccc10,f.h5\r\n"
       '"zeile\nzwei.jpg",0.25,0.25,,1,scored,,5ccccc11,f.h5\r\n'
       "'=1.jpg,0.75,0.75,,1,scored,,5ccccc12,f.h5\r\n"
       "b.jpg,,,,,failed,not an image that Pillow can identify,,f.h5\r\n")  # fmt: skip
BOTH = {"a.jpg": 0.5, "b.jpg": 0.25}


@pytest.fixture
def read(tmp_path):
    """read(text, ...) -> the scores of IDS, and what is said."""

    def read_text(text, **columns):
        (tmp_path / "s.csv").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
        notes: list[str] = []
        return read_score_table(tmp_path / "s.csv", IDS, Columns(**columns), notes.append), notes

    return read_text


@pytest.mark.parametrize(
    "text",
    [
        "id;score\na.jpg;0.5\nb.jpg;0.25\n",
        "id\tscore\na.jpg\t0.5\nb.jpg\t0.25\n",
        "id;score\r\na.jpg;0,5\r\nb.jpg;0,25\r\n",
        "id, score\na.jpg, 0.5\nb.jpg, 0.25\n",
        "ID,Score\na.jpg,0.5\nb.jpg,0.25\n",
        'id,score\na.jpg,0.5\nb.jpg,0.25\n"Mean of 160 images"\n',
        "id,score\na.jpg,0.5\nb.jpg,0.25\nno such.jpg,\nnor.jpg,much\nnor.jpg,\n",
        "id,score\na.jpg,0.5\nb.jpg,0.25\né.jpg,NaN\n",
        "image,prediction\nimages/a.jpg,0.5\nimages\\B.JPG,0.25\n",
        "id,score,predicted\na.jpg,0.8,0.5\nb.jpg,0.9,0.25\n",
    ],
)
def test_tables_of_other_systems_mean_the_same(read, text):
    assert read(text)[0] == BOTH


def test_our_own_tables_are_read_and_rows_that_failed_are_left_out(read, tmp_path):
    scores, notes = read(OWN)
    assert scores == {"a.jpg": 0.5, "zeile\nzwei.jpg": 0.25, "=1.jpg": 0.75}
    assert notes[-1] == f"{tmp_path / 's.csv'}: 1 rows that are not scored (column 'status') are left out"


def test_beside_human_scores_it_is_the_predicted_ones_that_a_system_says(read):
    text = "id,score,predicted\na.jpg,0.8,0.5\n"
    scores, notes = read(text)
    assert (scores, len(notes)) == ({"a.jpg": 0.5}, 2)
    assert "what the system says is taken from 'predicted'; 'score' stands beside it" in notes[1]
    assert read(text, score="score")[0] == {"a.jpg": 0.8}


def test_names_that_are_no_utf_8_or_in_another_form_of_unicode_are_found(read):
    assert read("id,score\ncaf\udce9.jpg,1\ne\u0301.jpg,2\n")[0] == {"caf\udce9.jpg": 1, "é.jpg": 2}


@pytest.mark.parametrize(("text", "message"), [
    ("id,score\na.jpg,1\na.jpg,1\n", "s.csv:3: expected each image once, found 'a.jpg' again"),
    ("id,score\na.jpg,1\nA.JPG,1\n", "s.csv:3: expected each image once, found 'A.JPG', which is the image 'a.jpg'"),
    ("id,score\na.jpg,much\n", "s.csv:2: expected a number as score, found 'much'"),
    ("id,rating\n", "s.csv:1: expected columns id,score, found 'id,rating'; say --score-column NAME"),
    ("a.jpg,0.5\nb.jpg,0.25\n", "s.csv:1: expected columns id,score, found 'a.jpg,0.5'"),
])  # fmt: skip
def test_what_a_table_gets_wrong_is_named(read, text, message):
    with pytest.raises(DatasetError, match=re.escape(message)):
        read(text)
