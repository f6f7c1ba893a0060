"""A spreadsheet as CSV: id,score[,split]."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from amnet_common.datasets import load_dataset
from amnet_common.datasets.label_table import read_label_table
from amnet_common.errors import DatasetError


@pytest.fixture
def read(tmp_path):
    def read_text(text: str | bytes):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_dataset("csv", tmp_path / "pictures", path)

    return read_text


@pytest.mark.parametrize(
    "text",
    [
        "id,score,split\na.jpg,0.5,train\nb.jpg,0.25,test\n",
        "\ufeffid,score,split\r\na.jpg,0.5,train\r\nb.jpg,0.25,test\r\n",
        "id;score;split\na.jpg;0.5;train\nb.jpg;0.25;test\n",
        "id\tscore\tsplit\na.jpg\t0.5\ttrain\nb.jpg\t0.25\ttest",
        "split,note,score,id\ntrain,x,0.5,a.jpg\n\ntest,,0.25,b.jpg\n",
        'id,score,split\n"a.jpg", 0.5 , train\nb.jpg,0.25,test\n',
    ],
)
def test_tables_as_spreadsheets_save_them_mean_the_same(read, text):
    dataset = read(text)
    assert (dataset.ids, dataset.labels.tolist()) == (("a.jpg", "b.jpg"), [0.5, 0.25])
    assert {name: (s.rows.tolist(), s.scores.tolist()) for name, s in dataset.splits.items()} == {
        "train_1": ([0], [0.5]),
        "test_1": ([1], [0.25]),
    }


def test_rows_keep_the_order_of_the_file_and_ids_their_commas(read):
    assert read('id,score\nz.jpg,1\n"a, b.jpg",2\n').ids == ("z.jpg", "a, b.jpg")


def test_empty_score_means_none(read):
    dataset = read("id,score\na.jpg,\nb.jpg,0.5\nc.jpg\n")
    np.testing.assert_array_equal(dataset.labels, [np.nan, 0.5, np.nan])
    assert dataset.splits == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.jpg,abc,", "expected a number as score, found 'abc'"),
        ("b.jpg,inf,", "expected a number as score, found 'inf'"),
        ("b.jpg,0.5,training", "expected split to be train, val, test or empty, found 'training'"),
        ("b.jpg,,train", "expected a score for an image of split train, found none"),
        ("a.jpg,0.5,", "expected each image once, found 'a.jpg' again"),
        ("../b.jpg,0.5,", "expected an image path below the image root, found '../b.jpg'"),
        ("/b.jpg,0.5,", "expected an image path below the image root, found '/b.jpg'"),
        (",0.5,", "expected an image path below the image root, found ''"),
        ("b.jpg,0.5,train,more", "expected 3 fields, found more"),
    ],
)
def test_bad_line_is_named_by_file_and_number(read, tmp_path, line, message):
    with pytest.raises(DatasetError, match=re.escape(f"{tmp_path / 'labels.csv'}:3: {message}")):
        read(f"id,score,split\na.jpg,0.5,train\n{line}\n")


@pytest.mark.parametrize("header", ["name,score", "id", ""])
def test_missing_columns_show_the_header_found(read, header):
    with pytest.raises(DatasetError, match=re.escape(f"expected columns id,score[,split], found {header!r}")):
        read(f"{header}\na.jpg,0.5\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_tables_in_other_encodings_are_read(read, encoding):
    assert read("id,score\nz\u00fcrich.jpg,0.5\n".encode(encoding)).ids == ("z\u00fcrich.jpg",)


def test_half_a_letter_of_utf_16_is_refused(read):
    with pytest.raises(DatasetError, match=r"labels.csv: expected a readable UTF-8 CSV file, found .*utf-16"):
        read("id,score\nz.jpg,0.5\n".encode("utf-16")[:-1])


def test_missing_table_is_named(tmp_path):
    with pytest.raises(DatasetError, match=re.escape(f"--labels {tmp_path / 'no.csv'}: expected a readable UTF-8 CSV")):
        load_dataset("csv", tmp_path, tmp_path / "no.csv")


def test_table_without_lines_is_refused(read):
    with pytest.raises(DatasetError, match="--dataset csv: expected at least one image, found none"):
        read("id,score\n")


@pytest.mark.parametrize(("content", "message"), [
    ("id,score,score\na.jpg,0.1,0.2\n", "labels.csv:1: expected each column once, found 'score' again"),
    ('id,score\n"a.jpg,0.1\nb.jpg,0.2\n', "expected a readable UTF-8 CSV file, found a quote that is not closed"),
    ("id,score\na.jpg,1_0\n", "labels.csv:2: expected a number as score, found '1_0'"),
])  # fmt: skip
def test_tables_that_could_be_read_wrongly_are_refused(read, content, message):
    with pytest.raises(DatasetError, match=re.escape(message)):
        read(content)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "labels.csv"
    {"pipe": os.mkfifo, "device": lambda name: name.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    with pytest.raises(DatasetError, match=r"--labels .*labels\.csv: expected a "):
        read_label_table(tmp_path, path)


def test_all_that_is_wrong_is_said_in_one_go_and_ten_lines_are_shown(read, tmp_path):
    lines = [f"{k}.jpg,{'x' if k % 2 else k}" for k in range(1, 31)]
    with pytest.raises(DatasetError) as caught:
        read("id,score\n" + "\n".join(lines))
    path = tmp_path / "labels.csv"
    shown = [f"{path}:{line}: expected a number as score, found 'x'" for line in range(2, 21, 2)]
    assert [str(caught.value), *caught.value.__notes__] == [*shown, f"{path}: 5 more such lines"]


def test_lists_of_a_column_are_splits_with_the_scores_of_their_rows(read):
    dataset = read("id,score,list\na,1,train_1 test_2\nb,2,test_1\nb,4,train_2\nc,3,val_1\n")
    assert dataset.labels.tolist() == [1, 3, 3]
    assert {name: (s.rows.tolist(), s.scores.tolist()) for name, s in dataset.splits.items()} == {
        "train_1": ([0], [1]), "val_1": ([2], [3]), "test_1": ([1], [2]), "train_2": ([1], [4]), "test_2": ([0], [1]),
    }  # fmt: skip


def test_an_image_in_two_lists_of_a_split_is_refused(read):
    with pytest.raises(
        DatasetError, match=r"labels.csv:3: expected 'a' in one list of a split, found it in train and "
    ):
        read("id,score,list\na,1,train_1\na,1,test_1\n")
