"""Tables as people have them: each is read rightly, or refused with what to do."""

import re
import unicodedata

import numpy as np
import pytest

from amnet_common.datasets import Columns, load_dataset
from amnet_common.errors import DatasetError

NAN = float("nan")
ON_DISK = ("a.jpg", "b.jpg", "sub/c.jpg", unicodedata.normalize("NFD", "Zürich café.jpg"))
READ = {
    "absolute": ("id,score\n/data/photos/a.jpg,0.5\n", ["a.jpg"], [0.5]),
    "backslash": ("id,score\na.jpg,0.5\nsub\\c.jpg,0.7\n", ["a.jpg", "sub/c.jpg"], [0.5, 0.7]),
    "blank_lines": ("id,score\na.jpg,0.5\n\nb.jpg,0.6\n\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "bom": ("\ufeffid,score\r\na.jpg,0.5\r\nb.jpg,0.6\r\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "cp1252": ("id,score\na.jpg,0.5\nZürich café.jpg,0.6\n".encode("cp1252"), ["a.jpg", ON_DISK[3]], [0.5, 0.6]),
    "cr_only_old_mac": ("id,score\ra.jpg,0.5\rb.jpg,0.6\r", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "decimal_comma": ("id;score\na.jpg;0,5\nb.jpg;0,6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "dot_slash": ("id,score\n./a.jpg,0.5\n", ["a.jpg"], [0.5]),
    "excel_na": ("id,score\na.jpg,#N/A\nb.jpg,0.5\n", ["a.jpg", "b.jpg"], [NAN, 0.5]),
    "header_case": ("ID,Score\na.jpg,0.5\n", ["a.jpg"], [0.5]),
    "header_spaces": ("id, score\na.jpg, 0.5\nb.jpg, 0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "na": ("id,score\na.jpg,NA\nb.jpg,0.5\n", ["a.jpg", "b.jpg"], [NAN, 0.5]),
    "nan": ("id,score\na.jpg,NaN\nb.jpg,0.5\n", ["a.jpg", "b.jpg"], [NAN, 0.5]),
    "dots and dashes": ("id;score\na.jpg;.\nb.jpg;-\nsub/c.jpg;1\n", ["a.jpg", "b.jpg", "sub/c.jpg"], [NAN, NAN, 1]),
    "nbsp": ("id,score\na.jpg\u00a0,0.5\nb.jpg,0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "nfc_of_nfd_file": ("id,score\na.jpg,0.5\nZürich café.jpg,0.6\n", ["a.jpg", ON_DISK[3]], [0.5, 0.6]),
    "no_suffix": ("id,score\na,0.5\nb,0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "one_missing": ("id,score\na.jpg,0.5\nzzz.jpg,0.6\n", ["a.jpg", "zzz.jpg"], [0.5, 0.6]),
    "percent": ("id,score\na.jpg,50%\nb.jpg,7 %\n", ["a.jpg", "b.jpg"], [0.5, 0.07]),
    "quoted_all": ('"id","score"\n"a.jpg","0.5"\n"b.jpg","0.6"\n', ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "quoted after a space": ('id, score\n"a.jpg", "0.5"\n', ["a.jpg"], [0.5]),
    "sep_line": ("sep=;\nid;score\na.jpg;0.5\n", ["a.jpg"], [0.5]),
    "trailing_empty_excel_rows": ("id,score\na.jpg,0.5\nb.jpg,0.6\n,\n,\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "empty columns": (",id,,score,,\n,a.jpg,,0.5,,\n,b.jpg,,0.6,,\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "empty rows above": (",\n\nid,score\na.jpg,0.5\n", ["a.jpg"], [0.5]),
    "an index of pandas": (",id,score\n0,a.jpg,0.5\n1,b.jpg,0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "utf16": ("id,score\na.jpg,0.5\nb.jpg,0.6\n".encode("utf-16"), ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "utf16 with tabs": ("id\tscore\na.jpg\t0,5\n".encode("utf-16"), ["a.jpg"], [0.5]),
    "wrong_case": ("id,score\nA.JPG,0.5\nb.jpg,0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "zero_width": ("id,score\n\u200ba.jpg,0.5\nb.jpg,0.6\n", ["a.jpg", "b.jpg"], [0.5, 0.6]),
    "thousands": ('id,score\na.jpg,"1,234.5"\nb.jpg,7\n', ["a.jpg", "b.jpg"], [1234.5, 7]),
    "another name": ("picture;valence\na.jpg;0,5\nb.jpg;4\n", ["a.jpg", "b.jpg"], [0.5, 4]),
    "numbers and names": ("id;file;score\n1;a.jpg;0,5\n2;b.jpg;4\n", ["a.jpg", "b.jpg"], [0.5, 4]),
}
REFUSED = {
    "duplicate": ("id,score\na.jpg,0.5\na.jpg,0.6\n", "l.csv:3: expected each image once, found 'a.jpg' again; where "
                                                      "each line is one person's, --rater-column NAME"),
    "thousand": ("id,score\na.jpg,1.000.5\n", "l.csv:2: expected a number as score, found '1.000.5'"),
    "two names": ("id,score\na.jpg,0.5\nA.JPG,0.6\n", "l.csv:3: expected each image once, found 'A.JPG', which is the "
                                                      "image 'a.jpg' of line 2, 'a.jpg', again"),
    "two readings": ("id;score\na.jpg;1.234\nb.jpg;5\n", "l.csv: column 'score': expected numbers that can be read in "
                     "one way, found '1.234', and nothing that says whether its mark stands before the fraction or "
                     "between thousands; --decimal point or --decimal comma does"),
    "two marks": ("id;score\na.jpg;1.5\nb.jpg;2.5\nsub/c.jpg;1,5\n",
                  "l.csv:4: expected a number as score, found '1,5'"),
    "commas among commas": ("id,score\na.jpg,0,5\n", "l.csv:2: expected 2 fields, found more; commas that stand before "
                            "fractions cannot be told from those between cells: save it with semicolons"),
    "no header": ("a.jpg,0.5\nb.jpg,0.6\n", "l.csv:1: expected columns id,score, found 'a.jpg,0.5', which looks like "
                  "an image and not like names of columns; put a line such as id,score above it"),
    "a slip in one of two": ("id,valence,arousal\na.jpg,1,2\nb.jpg,l,5\n", "l.csv:1: expected columns id,score"),
    "many numbers": ("id,valence,arousal\na.jpg,1,2\nb.jpg,1,5\n", "l.csv:1: expected columns id,score[,split], found "
                     "'id,valence,arousal'; say --score-column NAME"),
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """read(text) -> the dataset of a table whose images are those of ON_DISK."""
    for name in ON_DISK:
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes(b"")

    def read_text(text, **columns):
        (tmp_path / "l.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_dataset("csv", tmp_path / "pictures", tmp_path / "l.csv", columns=Columns(**columns))

    return read_text


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_it_is_meant(read, name):
    text, ids, scores = READ[name]
    dataset = read(text)
    assert list(dataset.ids) == ids
    np.testing.assert_array_equal(dataset.labels, scores)


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_could_be_read_wrongly_is_refused_with_a_cure(read, name):
    text, message = REFUSED[name]
    with pytest.raises(DatasetError, match=re.escape(message)):
        read(text)


@pytest.mark.parametrize(
    ("word", "part"), [("Train", "train"), ("TEST", "test"), ("validation", "val"), (" val ", "val")]
)
def test_splits_are_known_in_other_spellings(read, word, part):
    assert [*read(f"id,score,split\na.jpg,0.5,{word}\n").splits] == [f"{part}_1"]


@pytest.mark.parametrize(("decimal", "value"), [("point", 1.234), ("comma", 1234)])
def test_what_a_table_leaves_open_an_option_says(read, decimal, value):
    assert read("id;score\na.jpg;1.234\n", decimal=decimal).labels.tolist() == [value]


def test_columns_that_are_not_clear_are_shown_with_an_example_of_each(read):
    with pytest.raises(DatasetError) as caught:
        read("who,what,valence,arousal\nx,a.jpg,1,5\ny,b.jpg,,4\n")
    assert caught.value.__notes__ == ["column 'who': such as 'x'", "column 'what': such as 'a.jpg'",
                                      "column 'valence': such as '1'", "column 'arousal': such as '5'"]  # fmt: skip
    dataset = read("who,what,valence,arousal\nx,a.jpg,1,5\ny,b.jpg,,4\n", score="Arousal")
    assert (dataset.ids, dataset.labels.tolist()) == (("a.jpg", "b.jpg"), [5, 4])
    assert dataset.notes[0].endswith("l.csv: images from the column 'what' (--id-column)")


def test_a_column_that_is_not_there_is_refused(read):
    with pytest.raises(DatasetError, match=r"l.csv:1: --score-column: expected the name of a column, found 'valenz'"):
        read("id,valence\na.jpg,1\n", score="valenz")
