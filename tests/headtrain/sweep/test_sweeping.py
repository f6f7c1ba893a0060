"""What a sweep tries, which heads train together, and which are pruned."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.errors import ConfigError
from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.grouping import bank_key
from headtrain.heads.architectures import new_head
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET, RELEASED
from headtrain.sweep.capacity import bytes_of_head, heads_that_fit
from headtrain.sweep.grid import points, read_axis
from headtrain.sweep.halving import is_rung, losers
from headtrain.sweep.passes import passes
from headtrain.sweep.sweeping import Halving
from headtrain.training.planned import PlannedRun


def test_a_grid_is_every_combination_with_every_seed():
    found = points(AMNET, [read_axis("lr=1e-4,3e-4"), read_axis("attention=true,false")], range(2))
    assert [point.name for point in found] == [
        f"lr={lr},attention={attention},seed={seed}"
        for lr in ("0.0001", "0.0003")
        for attention in ("true", "false")
        for seed in (0, 1)
    ]
    last = found[-1].config
    assert (last.training.learning_rate, last.head.attention, last.training.seed) == (3e-4, False, 1)


def test_dropout_sets_that_of_features_and_of_the_regression():
    (point,) = points(AMNET, [read_axis("dropout=0.25")], [0])
    assert (point.config.head.feature_dropout, point.config.head.regress_dropout) == (0.25, 0.25)
    assert point.config.head.attention_dropout == AMNET.head.attention_dropout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=1", r"--grid: expected KEY=VALUE,VALUE with one of dropout, .*lr.*, found 'speed=1'"),
        ("lr", "found 'lr'"),
        ("seed=1,2", "found 'seed=1,2'"),
        ("select-on=test", "found 'select-on=test'"),
        ("locations=4", "found 'locations=4'"),
        ("lr=fast", "--grid lr: expected a value of type float, found 'fast'"),
        ("steps=1,1", "--grid steps: expected different values, found 1,1"),
    ],
)
def test_what_is_no_axis_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_axis(text)


def test_a_setting_that_two_axes_set_is_refused():
    with pytest.raises(ConfigError, match="expected each setting once, found feature_dropout in several"):
        points(AMNET, [read_axis("dropout=0.1"), read_axis("feature-dropout=0.2")], [0])


def test_impossible_combinations_are_refused_before_anything_is_trained():
    with pytest.raises(ConfigError, match="--steps: expected 0 to 6, found 9"):
        points(AMNET, [read_axis("steps=3,9")], [0])


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3]), st.integers(0, 99)), min_size=1, unique=True),
    st.integers(1, 5),
)
def test_passes_hold_every_head_once_with_its_like_and_no_more_than_fit(tmp_path_factory, heads, most):
    folder = tmp_path_factory.getbasetemp()
    runs = [
        (split, PlannedRun(override(AMNET, steps=steps, seed=seed), folder / f"{split}-{steps}-{seed}"))
        for split, steps, seed in heads
    ]
    found = passes(runs, lambda _: most)
    assert sorted((one.split, str(planned.run)) for one in found for planned in one.planned) == sorted(
        (split, str(planned.run)) for split, planned in runs
    )
    for one in found:
        assert 1 <= len(one.planned) <= most
        assert len({bank_key(planned.config) for planned in one.planned}) == 1


@pytest.mark.parametrize("change", [{"steps": 2}, {"batch_size": 8}, {"data_seed": 1}, {"penalty_form": "released"}])
def test_what_heads_of_a_bank_share_parts_them(change):
    assert bank_key(override(AMNET, **change)) != bank_key(AMNET)


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"seed": 2}, {"feature_dropout": 0.1}, {"epochs": 3}])
def test_what_each_head_has_for_itself_does_not(change):
    assert bank_key(override(AMNET, **change)) == bank_key(AMNET)


def test_rungs_are_the_powers_of_the_factor():
    assert [epoch for epoch in range(1, 30) if is_rung(epoch, 3)] == [3, 9, 27]


def test_the_best_third_of_all_that_have_come_so_far_goes_on():
    rhos = {"a": 0.5, "b": 0.4, "c": float("nan"), "d": 0.6}
    assert losers(rhos, [], 3) == {"b", "c"}  # two of four go on
    assert losers(rhos, [0.55, 0.7], 3) == {"a", "b", "c"}  # two of six
    assert losers({"a": 0.1}, [], 2) == set()


def member(run, rho):
    """What a halving asks of a member after two epochs."""
    return SimpleNamespace(planned=PlannedRun(AMNET, run), finished=False, epochs=[SimpleNamespace(val_rho=rho)] * 2)


def test_a_head_that_comes_to_a_rung_again_is_not_compared_with_itself(tmp_path):
    good, bad = member(tmp_path / "good", 0.6), member(tmp_path / "bad", 0.5)
    prune = Halving(2).of_split(1)
    assert prune([good]) == []
    assert prune([good]) == []  # again, after its pass ran out of memory
    assert prune([bad]) == [bad]  # one of two goes on: with two of `good` it were one of three


@pytest.mark.parametrize(
    "config",
    [
        override(AMNET, hidden=64, channels=256),
        override(AMNET, hidden=64, channels=256, steps=6, attention_dropout=0.1),
        override(AMNET, hidden=64, channels=256, attention=False),
        override(RELEASED, hidden=64, channels=256, batch_size=64),
    ],
    ids=["paper", "six steps", "no attention", "released"],
)
def test_the_estimate_of_memory_is_not_below_what_a_backward_pass_keeps(config):
    """What autograd saves for the backward pass, counted by its hooks, is the greater part of the peak."""
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    bank = Bank([new_head(config.head).train()])
    x, places = torch.rand(64, config.head.locations, config.head.channels), bank.places(64)
    drawn = bank.draw(places, torch.zeros(1, len(places), 2, dtype=torch.int32), torch.arange(64, dtype=torch.int32))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        bank.forward(x, drawn).score.sum().backward()
    parameters = 4 * sum(p.numel() for p in bank.heads[0].parameters())
    activations = sum(kept.values()) - parameters
    estimate = bytes_of_head(config) - 6 * parameters
    assert activations < estimate
    assert activations > 0.4 * estimate or not config.head.attention  # without it, nothing large is kept


def test_at_least_one_head_fits_or_it_is_said_that_none_does(monkeypatch):
    monkeypatch.setattr("headtrain.sweep.capacity.available_bytes", lambda _: int(1.1 * bytes_of_head(AMNET)))
    assert heads_that_fit(AMNET, "cpu") == 1
    monkeypatch.setattr("headtrain.sweep.capacity.available_bytes", lambda _: 1000)
    with pytest.raises(ConfigError, match=r"--heads-per-pass: expected .* GB for a head, found 0\.0 GB free on cpu"):
        heads_that_fit(AMNET, "cpu")


def test_more_memory_holds_more_heads(monkeypatch):
    counts = []
    for share in (2, 8, 16):
        monkeypatch.setattr(
            "headtrain.sweep.capacity.available_bytes", lambda _, share=share: share * bytes_of_head(AMNET)
        )
        counts.append(heads_that_fit(AMNET, "cpu"))
    assert np.all(np.diff(counts) > 0)
