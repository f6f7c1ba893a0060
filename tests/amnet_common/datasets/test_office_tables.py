"""Workbooks, SPSS, Parquet and Feather: the same table as text, or refused in one line."""

import importlib.util
import zipfile

import numpy as np
import pytest

from amnet_common.datasets import load_dataset
from amnet_common.errors import DatasetError, ExtraError

pandas = pytest.importorskip("pandas")
KINDS = ("xlsx", "ods", "sav", "parquet", "feather")


@pytest.fixture
def write(tmp_path):
    """write(frame, kind) -> the path of a table."""

    def to_file(frame, kind, **how):
        path = tmp_path / f"l.{kind}"
        if kind in ("xlsx", "ods"):
            frame.to_excel(path, index=False, engine={"xlsx": "openpyxl", "ods": "odf"}[kind], **how)
        elif kind == "sav":
            pytest.importorskip("pyreadstat").write_sav(frame, path, **how)
        else:
            getattr(frame, f"to_{kind}")(path, **how)
        return path

    return to_file


def frame(**more):
    return pandas.DataFrame({"picture": ["a.jpg", "b.jpg", "ü.jpg"], "valence": [1.25, np.nan, 1.234], **more})


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_every_format_is_read(write, tmp_path, kind):
    dataset = load_dataset("csv", tmp_path, write(frame(split=["train", "", "Test"]), kind))
    assert dataset.ids == ("a.jpg", "b.jpg", "ü.jpg")
    np.testing.assert_array_equal(dataset.labels, [1.25, np.nan, 1.234])
    assert {name: split.rows.tolist() for name, split in dataset.splits.items()} == {"train_1": [0], "test_1": [2]}


def test_texts_in_cells_are_read_as_in_a_text_and_lines_are_those_of_the_sheet(write, tmp_path):
    rows = [["Ratings of May", None], [None, None], ["id", "score"], ["a.jpg", "0,5"], ["b.jpg", "#N/A"], [None, None]]
    made = pandas.DataFrame([*rows, [277, "x"]])
    with pytest.raises(DatasetError, match=r"l\.xlsx:7: expected a number as score, found 'x'"):
        load_dataset("csv", tmp_path, write(made, "xlsx", header=False))
    dataset = load_dataset("csv", tmp_path, write(made.drop(6), "xlsx", header=False))
    np.testing.assert_array_equal(dataset.labels, [0.5, np.nan])


def test_the_first_sheet_is_read_and_that_is_said(tmp_path):
    with pandas.ExcelWriter(tmp_path / "l.xlsx") as book:
        frame().to_excel(book, sheet_name="Ratings", index=False)
        frame().to_excel(book, sheet_name="Codes", index=False)
    notes = load_dataset("csv", tmp_path, tmp_path / "l.xlsx").notes
    assert f"{tmp_path / 'l.xlsx'}: the first of 2 sheets is read, 'Ratings'" in notes


def test_missing_values_and_parts_of_a_split_are_known_in_spss(write, tmp_path):
    made = pandas.DataFrame(
        {"id": ["a.jpg", "b.jpg", "c.jpg"], "score": [1.0, 999.0, 3.0], "split": [1.0, np.nan, 2.0]}
    )
    how = {"missing_ranges": {"score": [999]}, "variable_value_labels": {"split": {1.0: "Train", 2.0: "Test"}}}
    dataset = load_dataset("csv", tmp_path, write(made, "sav", **how))
    np.testing.assert_array_equal(dataset.labels, [1, np.nan, 3])
    assert {name: split.rows.tolist() for name, split in dataset.splits.items()} == {"train_1": [0], "test_1": [2]}


def test_an_index_of_names_is_a_column(write, tmp_path):
    assert load_dataset("csv", tmp_path, write(frame().set_index("picture"), "parquet")).ids[2] == "ü.jpg"


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_tables_are_refused_in_one_line(write, tmp_path, kind):
    path = write(frame(), kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=rf"^--labels {path}: expected an? [^\n]*, found [^\n]*$"):
        load_dataset("csv", tmp_path, path)


def test_an_archive_that_holds_far_more_than_a_table_is_not_unpacked(write, tmp_path):
    path = write(frame(), "xlsx")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/more.xml", "w") as file:
        for _ in range(520):
            file.write(bytes(2**20))
    assert path.stat().st_size < 10**6
    with pytest.raises(DatasetError, match="expected at most 536870912 bytes in its archive, found 5"):
        load_dataset("csv", tmp_path, path)


def test_workbooks_of_before_2007_are_named(tmp_path):
    (tmp_path / "l.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    with pytest.raises(DatasetError, match=r"found an Excel workbook of before 2007; save it as \.xlsx or CSV"):
        load_dataset("csv", tmp_path, tmp_path / "l.xls")


def test_without_the_packages_the_extra_is_named(write, tmp_path, monkeypatch):
    path = write(frame(), "xlsx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ExtraError, match=r"expected pandas to read an Excel workbook, found none; pip install 'amnet\[ta"
    ):
        load_dataset("csv", tmp_path, path)
