"""What stands in a page, and how large it may become."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from amnet_common.collection import Collection
from headtrain.evaluation.predictions import Predictions
from headtrain.report.gallery import LEAST, MOST, WORST, chosen
from headtrain.report.images import SPENT, Images
from headtrain.report.page import in_script, source_hash


@pytest.fixture
def predictions():
    predicted = np.array([0.9, 0.1, 0.5, 0.7, 0.3])
    return Predictions(tuple("abcde"), predicted, np.array([0.8, 0.15, 0.9, 0.7, 0.3]))


def test_the_most_the_least_memorable_and_the_worst_errors_are_chosen(predictions):
    six = Predictions(tuple("abcdef"), np.r_[predictions.predicted, 0.6], np.r_[predictions.scores, 0.6])
    assert chosen(six, 2) == {0: [MOST, WORST], 3: [MOST], 1: [LEAST], 4: [LEAST], 2: [WORST]}


def test_of_few_images_no_more_than_a_third_is_of_each_kind(predictions):
    assert chosen(predictions, 5) == {0: [MOST], 1: [LEAST], 2: [WORST]}


@pytest.fixture
def images(make_collection, tmp_path):
    """Four images of noise, of which d.jpg is not there."""
    for name in "abc":
        noise = np.random.default_rng(ord(name)).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.jpg")
    collection = Collection(make_collection(done=range(4)))
    for row, name in enumerate("abc"):
        digest = hashlib.sha256((tmp_path / f"{name}.jpg").read_bytes()).digest()
        collection.images["sha256"][row] = np.frombuffer(digest, np.uint8)
    return Images(collection, tmp_path)


def test_an_image_stands_in_the_page_once_in_the_size_that_was_asked_for_first(images):
    assert [images.add(1, 256), images.add(0, 88), images.add(1, 88)] == [0, 1, 0]
    large, small = (len(one["src"]) for one in images.table)
    assert large > 3 * small


def test_when_the_budget_is_spent_pictures_are_left_out_and_counted(images):
    images.budget = 1
    numbers = [images.add(row, 88) for row in (0, 1)]
    assert [images.table[n]["missing"] for n in numbers] == ["", SPENT]
    assert images.missing == 1


def test_a_file_that_is_not_there_is_said(images):
    found = images.table[images.add(3, 88)]
    assert (found["id"], found["src"], found["missing"]) == ("d.jpg", None, "missing file")


def test_a_file_that_has_changed_since_is_not_shown(images, tmp_path):
    Image.new("RGB", (400, 300)).save(tmp_path / "a.jpg")
    assert images.table[images.add(0, 88)]["missing"] == "another file than the one that the features are of"


def test_no_text_ends_the_script_element():
    value = {"</script><!--": "<script>\u2028"}
    assert "<" not in in_script(value)
    assert json.loads(in_script(value)) == value


def test_the_policys_hash_is_that_of_the_standard():
    """The example of Content Security Policy Level 3, 2.3.1."""
    assert source_hash("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
