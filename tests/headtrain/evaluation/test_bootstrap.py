"""The bootstrap against scipy on the drawn lines, and what its intervals must say."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from amnet_common.errors import RunError
from headtrain.evaluation import bootstrap
from headtrain.evaluation.bootstrap import RESAMPLES, interval, mean_interval, paired
from headtrain.evaluation.predictions import Predictions


def predictions(first=0, n=60, noise=0.1, seed=0):
    """Images first..first+n-1, with scores that depend on the image alone, and many ties."""
    scores = np.random.default_rng(1).uniform(0.3, 0.9, 1000)[first : first + n].round(1)
    predicted = (scores + np.random.default_rng([seed, 2]).normal(0, noise, n)).round(1)
    return Predictions(tuple(f"{i}.jpg" for i in range(first, first + n)), predicted, scores)


def drawn_rho(split, counts):
    """Spearman of the drawn lines, written out one by one."""
    return stats.spearmanr(np.repeat(split.predicted, counts), np.repeat(split.scores, counts)).statistic


def all_draws(images, seed=0):
    return np.concatenate(list(bootstrap._draws(images, seed)))


def test_every_resample_draws_as_many_images_as_there_are(monkeypatch):
    monkeypatch.setattr(bootstrap, "CHUNK_COUNTS", 7 * 300)
    draws = all_draws(7)
    assert draws.shape == (RESAMPLES, 7)
    assert (draws.sum(1) == 7).all()
    assert np.allclose(draws.mean(0), 1, atol=0.1)


def test_interval_is_percentiles_of_spearman_over_drawn_lines(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    split = predictions()
    wanted = np.percentile([drawn_rho(split, counts) for counts in all_draws(60)], [2.5, 97.5])
    found = interval(split)
    assert np.allclose((found.low, found.high), wanted, rtol=1e-10)


def test_interval_agrees_with_scipys_bootstrap():
    split = predictions(n=200, noise=0.3)
    theirs = stats.bootstrap((split.predicted, split.scores), lambda a, b: stats.spearmanr(a, b).statistic, paired=True,
                             vectorized=False, n_resamples=1000, method="percentile", random_state=3)  # fmt: skip
    found = interval(split)
    assert np.allclose((found.low, found.high), theirs.confidence_interval, atol=0.02)


def test_an_image_is_drawn_equally_often_in_every_split_that_has_it(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    splits = [predictions(0), predictions(30)]  # share images 30..59
    rhos = [(drawn_rho(splits[0], c[:60]) + drawn_rho(splits[1], c[30:])) / 2 for c in all_draws(90)]
    found = mean_interval(splits)
    assert np.allclose((found.low, found.high), np.percentile(rhos, [2.5, 97.5]), rtol=1e-10)


def test_a_list_twice_is_no_surer_than_once():
    split = predictions()
    assert mean_interval([split, split]) == interval(split)


def test_intervals_repeat_and_depend_on_the_seed():
    assert interval(predictions()) == interval(predictions())
    assert interval(predictions()) != interval(predictions(), seed=1)


def test_no_interval_of_constant_predictions():
    found = interval(replace(predictions(), predicted=np.full(60, 0.1)))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_large_difference_is_real():
    found = paired([predictions(noise=0.05)], [predictions(noise=1.0)])
    wanted = stats.spearmanr(predictions(noise=0.05).predicted, predictions().scores).statistic
    wanted -= stats.spearmanr(predictions(noise=1.0).predicted, predictions().scores).statistic
    assert math.isclose(found.difference, wanted)
    assert found.real
    assert 0 < found.low < wanted < found.high
    assert found.p == 2 / (RESAMPLES + 1)
    assert (found.images, found.splits) == (60, 1)


def test_equal_noise_is_no_real_difference():
    found = paired([predictions(), predictions(30)], [predictions(seed=5), predictions(30, seed=5)])
    assert not found.real
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert (found.images, found.splits) == (90, 2)


def test_a_system_does_not_differ_from_itself():
    found = paired([predictions()], [predictions()])
    assert (found.difference, found.low, found.high, found.p, found.real) == (0, 0, 0, 1, False)


def test_comparison_turns_its_sign_with_its_sides():
    a, b = [predictions()], [predictions(seed=4)]
    there, back = paired(a, b), paired(b, a)
    assert np.allclose((there.difference, there.low, there.high), (-back.difference, -back.high, -back.low))
    assert there.p == back.p


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ([], "expected the same splits on both sides, found 1 and 0"),
        ([predictions(n=59)], "pair 1 of splits: expected the same images, found 60 and 59"),
        ([predictions(1)], "expected the same images in the same order, found 0.jpg and 1.jpg"),
        (
            [replace(predictions(), scores=predictions().scores + 1)],
            "expected the same scores, found 0.6 and 1.6 for 0",
        ),
    ],
)
def test_comparison_refuses_other_images(other, text):
    with pytest.raises(RunError, match=text):
        paired([predictions()], other)


def test_bootstrap_refuses_no_images():
    with pytest.raises(RunError, match=r"expected images in at least one split, found \[\]"):
        mean_interval([])
