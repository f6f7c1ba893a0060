"""The examples in the docstrings of the Python face do what they say, and objects show themselves readably."""

import doctest
import shutil
from pathlib import Path

import pytest

from amnet import load_head, score_collection
from amnet_common.collection import reader
from extract import in_memory
from headtrain.features.splits import split_subsets
from headtrain.heads import checkpoint, head
from headtrain.scoring import scores
from headtrain.settings.configuration import override
from headtrain.training.loop import train
from headtrain.training.planned import Setup

ROOT = Path(__file__).parents[2]
MODULES = (in_memory, reader, checkpoint, head, scores)


@pytest.fixture
def _folder(make_learnable, small, tmp_path, monkeypatch):
    """lamem.h5 and runs/lamem-amnet-1, as the README makes them."""
    collection = make_learnable()
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    list(train(Setup(collection, subsets, 1), override(small, epochs=1), tmp_path / "runs" / "lamem-amnet-1"))
    shutil.move(collection.path, tmp_path / "lamem.h5")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_do_what_they_say(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.usefixtures("_folder")
def test_the_examples_of_the_python_face_do_what_they_say():
    found = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


@pytest.mark.usefixtures("_folder")
def test_objects_show_what_they_are_in_a_line():
    collection = reader.Collection("lamem.h5")
    trained = load_head("runs/lamem-amnet-1")
    assert repr(score_collection(trained, collection)).startswith("<Scores: 40 of 40 images, ")
    trained.provenance = None
    assert repr(trained) == "<PaperHead: 3 steps, attention>"


def test_a_notebook_shows_a_collection_as_a_table_with_its_name_escaped(make_collection):
    path = make_collection(done=(0,), failed={1: "x"}, name="<b>.h5")
    shown = reader.Collection(path)._repr_html_()
    assert "&lt;b&gt;.h5" in shown
    assert "4: 1 done, 1 failed" in shown
