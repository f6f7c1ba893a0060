"""Which data a collection really is of."""

from types import SimpleNamespace

import numpy as np
import pytest

from headtrain.evaluation.published import IMAGE_LISTS, data_of, image_list_of, noise_ceiling, spearman_brown


class Fake(SimpleNamespace):
    """What of a collection is asked for."""

    def __init__(self, images, **fields):
        super().__init__(images=images, **fields)

    def __len__(self):
        return self.images


@pytest.mark.parametrize(("folder", "data"), [("lamem", "LaMem"), ("lnsim", "LNSIM")])
def test_data_sets_are_told_by_the_images_of_their_lists(shared, folder, data):
    files = (shared / "data" / folder / "splits").glob("*.txt")
    ids = {line.split()[0] for path in files for line in path.read_text().splitlines() if line.strip()}
    assert IMAGE_LISTS[image_list_of([*ids])] == data


@pytest.mark.parametrize(("dataset", "images", "data"), [("sun", 2222, "SUN"), ("sun", 3, None), ("lamem", 2222, None)])
def test_sun_is_told_by_its_name_and_size(dataset, images, data):
    assert data_of(Fake(images, provenance={"dataset": dataset}, image_list="0")) == data


def test_scores_of_ones_own_are_no_published_data_set():
    image_list = next(iter(IMAGE_LISTS))
    assert data_of(Fake(9, provenance={"dataset": "lamem"}, image_list=image_list)) == IMAGE_LISTS[image_list]
    assert data_of(Fake(9, provenance={"dataset": "lamem", "relabelled": "mine.csv"}, image_list=image_list)) is None


def test_reliability_and_ceiling_are_those_of_the_textbook_formulas_in_a_simulation():
    """40 observers with noise: the halves' correlation foretells that of all of them with the truth."""
    draw = np.random.default_rng(0)
    truth = draw.normal(size=4000)
    observers = truth[:, None] + 5 * draw.normal(size=(4000, 40))
    halves = np.corrcoef(observers[:, :20].mean(1), observers[:, 20:].mean(1))[0, 1]
    assert spearman_brown(halves) == pytest.approx(np.corrcoef(observers.mean(1), truth)[0, 1] ** 2, abs=0.02)
    assert noise_ceiling(halves) == pytest.approx(np.corrcoef(observers.mean(1), truth)[0, 1], abs=0.02)
