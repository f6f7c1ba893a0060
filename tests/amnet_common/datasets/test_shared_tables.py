"""The tables of the shared cases, with the images that they are of: all are read but what is no table of scores."""

import re
from pathlib import Path

import pytest

from amnet_common.datasets import Columns
from amnet_common.datasets.image_names import CollectionNames
from amnet_common.datasets.label_table import read_label_table
from amnet_common.datasets.score_table import read_score_table
from amnet_common.errors import DatasetError

LABELS = ("Train_upper", "dec_comma", "header_case", "train_constant", "val_constant", "validation_word", "winpaths")
SCORES = {"amnet_score_own_output.csv": 24, "decimal_comma.csv": 160, "footer.csv": 160, "human_and_predicted.csv": 24,
          "one_nan_irrelevant.csv": 160, "semicolon.csv": 160, "space_after_comma.csv": 160, "tab.tsv": 160,
          "test_only.csv": 30, "upper.csv": 160}  # fmt: skip


@pytest.fixture
def cases(shared):
    folder = shared / "cases" / "training"
    if not folder.is_dir():
        pytest.skip(f"no cases in {shared}")
    return folder


@pytest.fixture
def base(cases):
    return read_label_table(Path("nowhere"), cases / "scores-tables" / "labels.csv")


@pytest.mark.parametrize("name", LABELS)
def test_every_table_of_labels_means_the_same_images_and_splits(cases, base, name):
    path = cases / "labels-tables" / f"{name}.csv"
    found = read_label_table(Path("nowhere"), path, known=CollectionNames(base.ids, "of base.h5"))
    assert found.ids == base.ids
    assert {part: split.rows.tolist() for part, split in found.splits.items()} == {
        part: split.rows.tolist() for part, split in base.splits.items()
    }
    assert "constant" in name or found.labels.tolist() == base.labels.tolist()


def test_a_training_image_without_a_score_is_refused_with_a_cure(cases):
    path = cases / "labels-tables" / "NA.csv"
    message = f"{path}:7: expected a score for an image of split train, found none; leave its split empty too"
    with pytest.raises(DatasetError, match=re.escape(message)):
        read_label_table(Path("nowhere"), path)


@pytest.mark.parametrize("name", SCORES)
def test_every_table_of_scores_is_read(cases, base, name):
    found = read_score_table(cases / "scores-tables" / name, base.ids, Columns())
    assert len(found) == SCORES[name]
    assert found.keys() <= set(base.ids)
    assert name != "human_and_predicted.csv" or found["0277.jpg"] == 0.5
