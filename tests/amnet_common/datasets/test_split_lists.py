"""LaMem's layout: images/ and splits/{train,val,test}_K.txt."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.datasets import load_dataset
from amnet_common.datasets.records import Dataset, SplitList
from amnet_common.datasets.split_lists import read_list
from amnet_common.errors import DatasetError

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda name: name.strip() == name and name not in (".", "..")
)


@pytest.fixture
def layout(tmp_path):
    """Write lists below tmp_path: layout(train_1="a.jpg 0.5", ...) -> the root."""

    def write(**lists: str) -> Path:
        (tmp_path / "splits").mkdir(exist_ok=True)
        for name, text in lists.items():
            (tmp_path / "splits" / f"{name}.txt").write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture(scope="module")
def real_lamem(shared):
    return load_dataset("lamem", shared / "data" / "lamem")


def test_real_lamem_lists_give_every_image_and_list(real_lamem):
    assert len(real_lamem.ids) == 58_741
    assert list(real_lamem.ids) == sorted(set(real_lamem.ids))
    wanted = [f"{part}_{k}" for k in range(1, 6) for part in ("train", "val", "test")]
    assert list(real_lamem.splits) == wanted
    assert [len(real_lamem.splits[name].rows) for name in wanted] == [45_000, 3_741, 10_000] * 5


@pytest.mark.parametrize("name", ["train_1", "val_3", "test_5"])
def test_real_lamem_list_keeps_its_own_scores_in_its_own_order(shared, real_lamem, name):
    path = shared / "data" / "lamem" / "splits" / f"{name}.txt"
    lines = [line.split() for line in path.read_text().splitlines()]
    split = real_lamem.splits[name]
    assert [real_lamem.ids[row] for row in split.rows] == [id_ for id_, _ in lines]
    assert split.scores.tolist() == [float(score) for _, score in lines]


def test_lists_may_score_the_same_image_differently_and_the_label_is_the_mean(layout):
    layout(train_1="a.jpg 0.2", val_1="b.jpg 0.5", test_1="c.jpg 1")
    dataset = load_dataset("lamem", layout(train_2="a.jpg 0.6", val_2="", test_2=""))
    assert (dataset.splits["train_1"].scores[0], dataset.splits["train_2"].scores[0]) == (0.2, 0.6)
    np.testing.assert_allclose(dataset.labels, [0.4, 0.5, 1.0])


def test_images_stand_below_images(layout):
    dataset = load_dataset("sun", layout(train_1="a.jpg 0.2", test_1="b.jpg 0.3"))
    assert dataset.image_root.name == "images"
    assert list(dataset.splits) == ["train_1", "test_1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.jpg", "expected 'name.jpg 0.675000', found 'b.jpg'"),
        ("b.jpg abc", "expected a number as score, found 'abc'"),
        ("b.jpg 0,5", "expected a number as score, found '0,5'"),
        ("b.jpg nan", "expected a number as score, found 'nan'"),
        ("b.jpg inf", "expected a number as score, found 'inf'"),
        ("../b.jpg 0.5", "expected an image path below the image root, found '../b.jpg'"),
        ("x/../../b.jpg 0.5", "expected an image path below the image root, found 'x/../../b.jpg'"),
        ("/etc/b.jpg 0.5", "expected an image path below the image root, found '/etc/b.jpg'"),
        ("b\0.jpg 0.5", "expected an image path below the image root, found 'b\\x00.jpg'"),
        ("a.jpg 0.7", "expected each image once in a list, found 'a.jpg' again"),
        (f"{'b' * 2000}.jpg 0.5", "expected an image path of at most 1024 bytes"),
    ],
)
def test_bad_line_is_named_by_file_and_number(layout, line, message):
    root = layout(train_1=f"a.jpg 0.5\n\n{line}\n", val_1="", test_1="")
    path = root / "splits" / "train_1.txt"
    with pytest.raises(DatasetError, match=re.escape(f"{path}:3: {message}")):
        load_dataset("lamem", root)


@pytest.mark.parametrize(("name", "absent"), [("lamem", "val"), ("lamem", "test"), ("sun", "test")])
def test_missing_part_of_a_split_is_named(layout, name, absent):
    lists = {f"{part}_1": "a.jpg 0.5" for part in ("train", "val", "test") if part != absent}
    with pytest.raises(
        DatasetError, match=rf"--dataset {name}: expected \S+/{absent}_1.txt beside its like, found none"
    ):
        load_dataset(name, layout(**lists))


def test_folder_without_lists_says_where_they_were_wanted(tmp_path):
    with pytest.raises(
        DatasetError, match=re.escape(f"expected {tmp_path}/splits/train_1.txt and its like, found none")
    ):
        load_dataset("lamem", tmp_path)


def test_lists_without_any_image_are_refused(layout):
    with pytest.raises(DatasetError, match="expected at least one image, found none"):
        load_dataset("lamem", layout(train_1="", val_1="", test_1=""))


def test_pipe_in_place_of_a_list_is_refused_at_once(layout):
    root = layout(train_1="a.jpg 0.5", val_1="")
    os.mkfifo(root / "splits" / "test_1.txt")
    with pytest.raises(
        DatasetError, match=r"test_1.txt: expected a readable UTF-8 text file, found not a regular file"
    ):
        load_dataset("lamem", root)


def test_list_that_is_not_text_is_named(layout):
    root = layout(train_1="a.jpg 0.5", val_1="", test_1="")
    (root / "splits" / "val_1.txt").write_bytes(b"\xff\xfe\xfa 0.5\n")
    with pytest.raises(DatasetError, match=r"val_1.txt: expected a readable UTF-8 text file, found .*0xff"):
        load_dataset("lamem", root)


@pytest.mark.parametrize(
    "text",
    ["a b.jpg 0.5\r\nc.jpg 1\r\n", "a b.jpg 0.5\rc.jpg 1\r", "\ufeffa b.jpg\t0.5\nc.jpg 1", "a b.jpg   0.5 \n c.jpg 1"],
)
def test_windows_line_ends_marks_tabs_and_spaces_in_names_are_read(tmp_path, text):
    path = tmp_path / "train_1.txt"
    path.write_bytes(text.encode())
    assert read_list(path) == {"a b.jpg": 0.5, "c.jpg": 1.0}


@given(st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_lists_round_trip(tmp_path_factory, entries):
    path = tmp_path_factory.getbasetemp() / "round_trip.txt"
    path.write_text("".join(f"{name} {score!r}\n" for name, score in entries.items()), encoding="utf-8")
    assert list(read_list(path).items()) == list(entries.items())


def test_split_of_unknown_images_is_refused(tmp_path):
    split = SplitList(np.array([0, 7]), np.zeros(2))
    with pytest.raises(DatasetError, match="split train_1 names unknown images: expected rows below 2, found 7"):
        Dataset("test", tmp_path, ("a", "b"), {"train_1": split})


def test_an_image_in_two_parts_of_one_split_is_refused(tmp_path):
    (tmp_path / "splits").mkdir()
    for part, line in (("train", "a.jpg 0.5\n"), ("val", "b.jpg 0.5\n"), ("test", "a.jpg 0.5\n")):
        (tmp_path / "splits" / f"{part}_1.txt").write_text(line)
    with pytest.raises(DatasetError, match=r"splits/test_1\.txt: expected images that train_1\.txt does not name"):
        load_dataset("lamem", tmp_path)
