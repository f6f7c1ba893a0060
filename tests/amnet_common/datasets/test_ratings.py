"""Several rows an image: means, counts, and how far raters agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from amnet_common.agreement import rank_correlation
from amnet_common.datasets.consistency import consistency
from amnet_common.datasets.label_table import read_label_table
from amnet_common.errors import DatasetError


@pytest.fixture
def people():
    """Images, raters and ratings of 40 raters of 120 images each, whose truth is known."""
    random = np.random.default_rng(0)
    truth = random.normal(size=120)
    images, raters = np.meshgrid(np.arange(120), np.arange(40))
    return truth, images.ravel(), raters.ravel(), (truth[images] + 2 * random.normal(size=images.shape)).ravel()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2))
def test_the_correlation_of_ranks_is_scipys(pairs):
    a, b = np.array(pairs, float).T
    if np.ptp(a) and np.ptp(b):
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    else:
        assert np.isnan(rank_correlation(a, b))


def test_the_noise_ceiling_is_what_the_truth_reaches(people):
    truth, images, raters, ratings = people
    found = consistency(images, raters, ratings)
    means = np.bincount(images, ratings) / 40
    assert found.ceiling == pytest.approx(stats.spearmanr(means, truth).statistic, abs=0.03)
    table = ratings.reshape(40, 120)
    halves = [stats.spearmanr(table[order[:20]].mean(0), table[order[20:]].mean(0)).statistic
              for order in (np.random.default_rng(seed).permutation(40) for seed in range(200))]  # fmt: skip
    assert found.mean == pytest.approx(np.mean(halves), abs=0.02)
    assert (len(found.rhos), found.images) == (25, 120)


def test_raters_that_nothing_is_known_of_count_for_nothing(people):
    _, images, raters, ratings = people
    more = [np.append(images, 3), np.append(raters, 99), np.append(ratings, np.nan)]
    assert consistency(*more).rhos.tolist() == consistency(images, raters, ratings).rhos.tolist()


def test_three_raters_are_too_few_and_so_are_raters_of_other_images():
    assert consistency(np.tile(np.arange(9), 3), np.repeat(np.arange(3), 9), np.arange(27.0)) is None
    assert consistency(np.arange(9), np.arange(9), np.arange(9.0)) is None


def table_of(tmp_path, people, header="participant;stimulus;rating", names="{}.jpg"):
    _, images, raters, ratings = people
    lines = [f"P{rater};{names.format(image)};{rating:.4f}".replace(".", ",").replace(",jpg", ".jpg")
             for image, rater, rating in zip(images, raters, ratings, strict=True)]  # fmt: skip
    (tmp_path / "l.csv").write_text("\n".join([header, *lines]))
    return tmp_path / "l.csv"


def test_a_table_of_ratings_gives_means_counts_and_agreement(tmp_path, people):
    _, images, _, ratings = people
    dataset = read_label_table(tmp_path, table_of(tmp_path, people))
    assert dataset.ids == tuple(f"{k}.jpg" for k in range(120))
    np.testing.assert_allclose(dataset.labels, np.bincount(images, ratings) / 40, atol=1e-4)
    assert (
        "4800 ratings of 120 images by 40 raters, 40 an image (40 to 40): the mean of each is its score"
        in dataset.notes
    )
    assert any(note.startswith("split-half consistency rho 0.8") for note in dataset.notes)
    assert dataset.about["ratings"]["raters"] == 40


def test_without_a_column_of_raters_many_repeated_images_are_ratings_and_few_are_a_slip(tmp_path):
    lines = [f"{k % 10}.jpg,{k}" for k in range(30)]
    (tmp_path / "l.csv").write_text("\n".join(["id,score", *lines]))
    dataset = read_label_table(tmp_path, tmp_path / "l.csv")
    assert dataset.labels.tolist() == [10 + k for k in range(10)]
    (tmp_path / "l.csv").write_text("\n".join(["id,score", *lines[:11]]))
    with pytest.raises(DatasetError, match=r"expected each image once, found '0\.jpg' again; where each line is one "):
        read_label_table(tmp_path, tmp_path / "l.csv")


def test_missing_ratings_are_left_out_and_repeats_said(tmp_path):
    (tmp_path / "l.csv").write_text("rater,id,score\na,1.jpg,2\nb,1.jpg,NA\nc,1.jpg,4\nc,1.jpg,6\na,2.jpg,.\n")
    dataset = read_label_table(tmp_path, tmp_path / "l.csv")
    np.testing.assert_array_equal(dataset.labels, [4, np.nan])
    assert "1 of them rate an image once more that the same rater has rated" in dataset.notes


def test_codes_for_missing_ratings_are_asked_about_before_they_are_averaged(tmp_path, people):
    path = table_of(tmp_path, people)
    path.write_text(path.read_text() + "\nP3;7.jpg;999,0")
    notes = read_label_table(tmp_path, path).notes
    assert notes[-1].startswith("one rating is 999, far from the others, the nearest of which is ")
    assert notes[-1].endswith("does 999 stand for a missing rating? Then leave these cells empty")
