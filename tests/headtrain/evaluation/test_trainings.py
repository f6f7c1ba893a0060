"""Comparisons of several trainings a side: what a difference of seeds must not pass for, and what a real one must."""

import math

import numpy as np
import pytest
from scipy import stats

from amnet_common.errors import RunError
from headtrain.evaluation import bootstrap
from headtrain.evaluation.bootstrap import paired
from headtrain.evaluation.predictions import Predictions
from headtrain.evaluation.trainings import compared, holm

IDS = tuple(f"{k}.jpg" for k in range(300))


def trainings(count, strength, draw, scores, common):
    """Trainings of one system: each sees `strength` of the scores, a part that all share, and noise of its own."""
    return [[Predictions(IDS, strength * scores + 0.6 * common + 0.35 * draw.normal(size=len(scores)), scores)]
            for _ in range(count)]  # fmt: skip


def world(seed):
    """Scores of new images, and what all trainings get wrong about them."""
    draw = np.random.default_rng(seed)
    return draw, draw.normal(size=len(IDS)), draw.normal(size=len(IDS))


@pytest.fixture
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)


def test_one_training_a_side_is_the_paired_bootstrap():
    (one,), (two,) = (trainings(1, strength, *world(0)) for strength in (0.5, 0.4))
    assert compared([one], [two]) == paired(one, two)


@pytest.mark.usefixtures("fewer_resamples")
def test_seeds_of_one_configuration_are_rarely_a_real_difference():
    found = []
    for seed in range(60):
        draw, scores, common = world(seed)
        found.append(compared(*(trainings(3, 0.5, draw, scores, common) for _ in range(2))).real)
    assert np.mean(found) <= 0.1  # 0.05 and its sampling error


@pytest.mark.usefixtures("fewer_resamples")
def test_a_difference_between_configurations_is_found():
    found = []
    for seed in range(20):
        draw, scores, common = world(seed)
        found.append(compared(*(trainings(3, strength, draw, scores, common) for strength in (0.6, 0.3))).real)
    assert np.mean(found) > 0.9


def test_the_more_seeds_differ_the_wider_the_interval():
    draw, scores, common = world(1)
    alike, other = trainings(3, 0.5, draw, scores, common), trainings(3, 0.5, draw, scores, common)
    unlike = [[Predictions(IDS, strength * scores + common, scores)] for strength in (0.2, 0.5, 0.9)]
    one, two = compared(alike, other), compared(unlike, other)
    assert two.high - two.low > 2 * (one.high - one.low)
    assert (one.trainings, one.images, one.splits) == ((3, 3), 300, 1)


@pytest.mark.usefixtures("fewer_resamples")
def test_one_training_against_several_has_the_variance_of_the_others_seeds():
    draw, scores, common = world(5)
    several, (single,) = (trainings(count, 0.5, draw, scores, common) for count in (4, 1))
    as_trained, as_fixed = (compared(several, [single], seeded=(True, seeded)) for seeded in (True, False))
    assert as_trained.high - as_trained.low > as_fixed.high - as_fixed.low
    turned = compared([single], several)
    assert turned.high - turned.low == pytest.approx(as_trained.high - as_trained.low)
    rhos = [stats.spearmanr(one.predicted, one.scores).statistic for (one,) in several]
    assert ((as_trained.high - as_trained.low) / 2) ** 2 > np.var(rhos, ddof=1) * (1 + 1 / 4) * 1.96**2


def test_a_side_without_seeds_stands_against_several_trainings():
    draw, scores, common = world(2)
    found = compared(trainings(4, 0.5, draw, scores, common), trainings(1, 0.5, draw, scores, common))
    assert found.trainings == (4, 1)
    assert found.low < found.difference < found.high


def test_the_interval_is_that_of_welch_where_images_do_not_vary(monkeypatch):
    """With no variance of images left, the comparison is a t-test of the rhos of the trainings."""
    draw, scores, common = world(3)
    a, b = (trainings(5, strength, draw, scores, common) for strength in (0.5, 0.45))
    monkeypatch.setattr("headtrain.evaluation.trainings.mean_rhos", lambda *_: np.zeros(9))
    rhos = [[stats.spearmanr(one.predicted, one.scores).statistic for (one,) in side] for side in (a, b)]
    wanted = stats.ttest_ind(*rhos, equal_var=False)
    found, interval = compared(a, b), wanted.confidence_interval()
    assert np.allclose((found.low, found.high, found.p), (interval.low, interval.high, wanted.pvalue))


def test_a_rho_that_is_not_defined_is_no_equality():
    scores = np.arange(5.0)
    constant, sound = (Predictions(IDS[:5], values, scores) for values in (np.ones(5), scores))
    for sides in (([[constant]], [[sound]]), ([[sound], [constant]], [[sound]])):
        with pytest.raises(RunError, match="found one that is not defined: all predictions, or all scores, are equal"):
            compared(*sides)


def test_holms_correction():
    """Against the steps written out: 4 * 0.01, then at least 3 * 0.015, 2 * 0.02 and 0.5."""
    assert holm([0.5, 0.01, 0.02, 0.015]) == pytest.approx([0.5, 0.04, 0.045, 0.045])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1, 1]
    with pytest.raises(RunError, match="no number"):
        holm([math.nan])
