"""Images whose table and whose disk spell the same name in two forms of Unicode."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.collection.joining import relabel
from amnet_common.datasets import load_dataset
from amnet_common.datasets.spelling import own_names

ONE, TWO = (unicodedata.normalize(form, "café/Müller.jpg") for form in ("NFC", "NFD"))


@pytest.fixture
def table(tmp_path):
    """table(disk=.., listed=..) -> the dataset of a label table whose image lies on the disk under another name."""

    def make(disk, listed):
        for name in disk:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "l.csv").write_text("id,score\n" + "".join(f"{name},0.5\n" for name in listed), "utf-8")
        return load_dataset("csv", tmp_path, tmp_path / "l.csv")

    return make


@pytest.mark.parametrize(("disk", "listed"), [(TWO, ONE), (ONE, TWO)])
def test_an_image_goes_by_the_name_of_its_file(table, disk, listed):
    dataset = table([disk, "a.jpg"], [listed, "a.jpg"])
    assert dataset.ids == (disk, "a.jpg")
    assert dataset.notes == (
        "1 images are spelt otherwise on the disk, in another form of Unicode; they go by those names",)  # fmt: skip


@pytest.mark.parametrize(("disk", "listed"), [([ONE, TWO], [ONE]), ([ONE, TWO], [ONE, TWO]), ([TWO], [ONE, TWO]),
                                              ([ONE], [ONE]), ([], [ONE])])  # fmt: skip
def test_names_that_stand_for_themselves_or_for_two_stay_as_they_are(table, disk, listed):
    dataset = table(disk, listed)
    assert (dataset.ids, dataset.notes) == (tuple(listed), ())


def test_lists_in_lamems_layout_too(tmp_path):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "splits").mkdir()
    (tmp_path / "images" / "sub" / unicodedata.normalize("NFD", "ö.jpg")).write_bytes(b"")
    for part in ("train", "val", "test"):
        (tmp_path / "splits" / f"{part}_1.txt").write_text("sub/ö.jpg 0.5\n" if part == "train" else "", "utf-8")
    assert load_dataset("lamem", tmp_path).ids == (unicodedata.normalize("NFD", "sub/ö.jpg"),)


def test_a_table_names_the_rows_of_a_collection_in_either_form(make_collection, tmp_path):
    path = make_collection(("a.jpg", TWO))
    (tmp_path / "l.csv").write_text(f"id,score\n{ONE},0.25\n", "utf-8")
    assert relabel(path, tmp_path / "l.csv", tmp_path / "new.h5").labels.tolist()[1] == 0.25
    assert Collection(tmp_path / "new.h5").ids == ("a.jpg", TWO)


@given(st.lists(st.text("éeö\u0301\u0308a", max_size=3), unique=True), st.lists(st.text("éeö\u0301\u0308a", max_size=3),
                                                                              unique=True))  # fmt: skip
def test_own_names_look_the_same_and_are_given_once(names, known):
    found = own_names(names, known)
    assert all(unicodedata.normalize("NFD", a) == unicodedata.normalize("NFD", b) for a, b in found.items())
    assert len({*found.values()}) == len(found)
    assert not {*found} & {*known}
    assert not {*found.values()} & {*names}
