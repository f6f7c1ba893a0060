"""Several systems as one: how the weights are chosen, against the formulas written out."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from amnet_common.errors import RunError
from headtrain.scoring.stacking import WAYS, Member, shares_below, stacked


@pytest.fixture
def systems():
    """Scores of 60 validation and 40 test images; a good, a poor and a reversed system, on scales of their own."""
    draw = np.random.default_rng(0)
    val, test = draw.normal(0.6, 0.1, 60), draw.normal(0.6, 0.1, 40)

    def member(name, slope, noise):
        return Member(
            name, *(slope * part + 5 + abs(slope) * noise * draw.normal(size=len(part)) for part in (val, test))
        )

    return val, test, [member("good", 100, 0.08), member("poor", 1, 0.2), member("reversed", -3, 0.1)]


def standardised(values, by):
    return (values - by.mean()) / by.std()


def test_equal_weights_are_the_mean_of_z_scores_fitted_by_a_line(systems):
    val, _, (good, poor, _) = systems
    found = stacked([good, poor], val, "equal")
    wanted = (standardised(good.test, good.val) + standardised(poor.test, poor.val)) / 2
    assert np.allclose(found.weights, 0.5)
    assert np.corrcoef(found.test, wanted)[0, 1] == pytest.approx(1)
    line = stats.linregress((standardised(good.val, good.val) + standardised(poor.val, poor.val)) / 2, val)
    assert np.allclose(found.test, line.slope * wanted + line.intercept)


def test_validation_weights_are_proportional_to_rho_and_never_negative(systems):
    val, _, members = systems
    rhos = np.array([max(0, stats.spearmanr(one.val, val).statistic) for one in members])
    found = stacked(members, val, "validation")
    assert np.allclose(found.weights, rhos / rhos.sum())
    assert found.weights[2] == 0


def test_stacked_weights_are_those_of_non_negative_least_squares(systems):
    val, _, members = systems
    z, y = np.stack([standardised(one.val, one.val) for one in members], 1), val - val.mean()
    wanted = minimize(lambda w: np.square(z @ w - y).sum(), [0.1] * 3, bounds=[(0, None)] * 3, tol=1e-14).x
    assert np.allclose(stacked(members, val, "stacked").weights, wanted / wanted.sum(), atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_neither_scale_nor_the_test_images_change_the_weights(systems, way):
    val, _, (good, poor, _) = systems
    found = stacked([good, poor], val, way)
    scaled = Member("scaled", 7 * poor.val - 3, 7 * poor.test[:5] - 3)
    again = stacked([Member("good", good.val, good.test[:5]), scaled], val, way)
    assert np.allclose(found.weights, again.weights)
    assert np.allclose(found.test[:5], again.test)
    assert np.square(found.val - val).mean() <= val.var()  # on the data's scale


def test_systems_that_rank_the_wrong_way_round_are_not_turned_in_silence(systems):
    val, _, (_, _, reverse) = systems
    with pytest.raises(RunError, match=r"--weights equal: .* found that they rank them the wrong way round"):
        stacked([reverse, reverse], val, "equal")


@pytest.mark.parametrize("way", ["validation", "stacked"])
def test_systems_that_rank_nothing_are_refused(systems, way):
    val, _, (_, _, reverse) = systems
    with pytest.raises(RunError, match=f"--weights {way}: expected a system that ranks the validation images"):
        stacked([reverse, reverse], val, way)
    with pytest.raises(RunError, match="constant: expected different predictions of the validation images"):
        stacked([reverse, Member("constant", np.ones(60), np.ones(40))], val, way)


def test_ranks_forget_the_shape_of_a_scale(systems):
    val, _, (good, poor, _) = systems
    bent = Member("bent", *(np.exp(part - part.max()) for part in (good.val / 3, good.test / 3)))
    straight, curved = (stacked([one, poor], val, "equal", ranks=True) for one in (good, bent))
    assert np.allclose(straight.test, curved.test)
    ranks = [stats.rankdata(one.test) for one in (good, poor)]
    assert stats.spearmanr(straight.test, sum(ranks)).statistic == pytest.approx(1)
    assert not np.allclose(stacked([bent, poor], val, "equal").test, stacked([good, poor], val, "equal").test)


def test_equal_predictions_share_their_rank():
    assert np.allclose(shares_below(np.array([3.0, 1.0, 3.0, 9.0])), [0.5, 0.125, 0.5, 0.875])
