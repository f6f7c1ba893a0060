"""A head that trains in a bank is the head that trains alone."""

import csv

import numpy as np
import pytest
import torch

from amnet_common.errors import RunError
from headtrain.compute import kernels
from headtrain.evaluation.predictions import read_predictions
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import LAST, load_head
from headtrain.runs.documents import Result
from headtrain.runs.folder import RESULT, STATE, TEST
from headtrain.runs.log import read_log
from headtrain.settings.configuration import override
from headtrain.training import outcome
from headtrain.training.loop import train_together
from headtrain.training.planned import PlannedRun, Setup


def train_all(collection, configs, folder, resume=False, most=None):
    """What the training reports, at most so many reports."""
    planned = [PlannedRun(config, folder / str(number)) for number, config in enumerate(configs)]
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    steps = train_together(Setup(collection, subsets, 1, resume=resume), planned)
    seen = []
    for report in steps:
        seen.append(report)
        if len(seen) == most:
            steps.close()
            break
    return seen


def weights(run):
    return load_head(run / LAST).state_dict()


@pytest.fixture
def configs(small):
    """Three heads that differ in what heads of a bank may have for themselves, with dropout; 7 epochs of 3 updates."""
    base = override(small, attention=False, feature_dropout=0.4, regress_dropout=0.3, epochs=7, patience=9)
    return [
        base,
        override(base, learning_rate=1e-3, l2=1e-3, feature_dropout=0.1, seed=4, weight_average=0.9),
        override(base, penalty=0.1, regress_dropout=0.0, lr_schedule="cosine", target_mean=0.4, target_scale=1.5),
    ]


def test_weights_after_twenty_updates_are_those_of_each_head_alone(make_learnable, configs, tmp_path):
    collection, configs = make_learnable(), [override(config, attention=True) for config in configs]
    train_all(collection, configs, tmp_path / "together")
    for number, config in enumerate(configs):
        train_all(collection, [config], tmp_path / f"alone-{number}")
        found, wanted = weights(tmp_path / "together" / str(number)), weights(tmp_path / f"alone-{number}" / "0")
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0, msg=f"{name} differs")


def test_released_heads_say_the_same_as_each_head_alone(make_learnable, configs, tmp_path):
    # Not their weights: before the BatchNorm and below its ReLUs some true gradients are zero, and Adam follows the
    # rounding. In double precision the weights are equal too (test_bank.py).
    collection = make_learnable()
    configs = [
        override(
            config, architecture="released", standardise=False, attention=True, learning_rate=1e-4 / (n + 1), epochs=3
        )
        for n, config in enumerate(configs)
    ]
    train_all(collection, configs, tmp_path / "together")
    for number, config in enumerate(configs):
        train_all(collection, [config], tmp_path / f"alone-{number}")
        found, wanted = tmp_path / "together" / str(number), tmp_path / f"alone-{number}" / "0"
        a, b = (read_predictions(run / TEST).predicted for run in (found, wanted))
        assert np.ptp(b) > 0.01
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_adding_a_head_moves_no_other(make_learnable, configs, tmp_path):
    collection = make_learnable()
    train_all(collection, configs[:2], tmp_path / "two")
    train_all(collection, [configs[2], *configs[:2]], tmp_path / "three")
    for two, three in (("0", "1"), ("1", "2")):
        found, wanted = weights(tmp_path / "three" / three), weights(tmp_path / "two" / two)
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0)


def test_a_head_that_stops_early_leaves_and_the_others_go_on(make_learnable, configs, tmp_path):
    collection = make_learnable()
    short = override(configs[1], epochs=2)
    reports = train_all(collection, [configs[0], short, configs[2]], tmp_path / "together")
    ends = [job.run.name for job, report in reports if isinstance(report, Result)]
    assert ends[0] == "1"
    assert [sum(job.run.name == name for job, _ in reports) for name in "012"] == [8, 3, 8]  # epochs and a result
    train_all(collection, configs[:1], tmp_path / "alone")
    found, wanted = weights(tmp_path / "together" / "0"), weights(tmp_path / "alone" / "0")
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("most", [3, 5])  # after an epoch of all; in the middle of what is reported of one
def test_a_bank_that_was_stopped_resumes_to_the_same_weights(make_learnable, configs, tmp_path, most):
    collection = make_learnable()
    train_all(collection, configs, tmp_path / "whole")
    train_all(collection, configs, tmp_path / "cut", most=most)
    train_all(collection, configs, tmp_path / "cut", resume=True)
    for number in "012":
        found, wanted = weights(tmp_path / "cut" / number), weights(tmp_path / "whole" / number)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        logged = [
            [(epoch.val_rho, epoch.val_mse) for epoch in read_log(tmp_path / run / number)] for run in ("cut", "whole")
        ]
        assert logged[0] == logged[1]
        assert (tmp_path / "cut" / number / RESULT).exists()
        assert not (tmp_path / "cut" / number / STATE).exists()


def test_heads_that_a_kill_left_at_different_epochs_both_come_to_their_end(make_learnable, configs, tmp_path):
    collection = make_learnable()
    train_all(collection, configs[:1], tmp_path / "cut", most=2)
    with pytest.raises(RunError, match="another run"):
        train_all(collection, [configs[1]], tmp_path / "cut", resume=True)
    train_all(collection, configs[:2], tmp_path / "cut", resume=True)
    train_all(collection, configs[:2], tmp_path / "whole")
    for number in "01":
        with open(tmp_path / "cut" / number / "log.csv", newline="", encoding="utf-8") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 8)]
        for name, tensor in weights(tmp_path / "whole" / number).items():
            torch.testing.assert_close(weights(tmp_path / "cut" / number)[name], tensor, atol=1e-4, rtol=0)


def test_a_state_holds_its_own_head_and_not_the_memory_of_the_bank(make_learnable, configs, tmp_path):
    collection = make_learnable()
    train_all(collection, configs[:1], tmp_path / "alone", most=1)
    train_all(collection, configs, tmp_path / "together", most=3)
    alone, together = ((tmp_path / run / "0" / STATE).stat().st_size for run in ("alone", "together"))
    assert together < 1.1 * alone


def test_a_kill_while_losers_are_pruned_finds_the_others_saved(make_learnable, configs, tmp_path, monkeypatch):
    """Resumed from before, they would come to the same rung again, and fewer would go on."""
    monkeypatch.setattr("headtrain.training.pace.SHARE", 1e-9)  # after the first epoch saving is never due
    monkeypatch.setattr("headtrain.training.loop.prune_member", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    collection = make_learnable()
    planned = [PlannedRun(config, tmp_path / str(number)) for number, config in enumerate(configs)]
    setup = Setup(collection, split_subsets(collection, 1, 0, allow_missing=False), 1)
    steps = train_together(setup, planned, lambda members: members[:1] if len(members[0].epochs) == 2 else [])
    with pytest.raises(KeyboardInterrupt):
        list(steps)
    states = [torch.load(one.run / STATE, weights_only=True) for one in planned]
    assert [len(state["epochs"]) for state in states] == [2, 2, 2]


def test_banks_whose_heads_end_one_by_one_are_compiled_for_few_numbers_of_heads(
    make_learnable, configs, tmp_path, monkeypatch
):
    """Compiled kernels are made for a number of heads: a row stays, idle, until half of all are."""
    sizes = []

    def counted(bank, *given):
        if not sizes or sizes[-1] != len(bank.heads):
            sizes.append(len(bank.heads))
        return kernels.forward(bank, *given)

    monkeypatch.setattr(kernels, "compiled_forward", lambda: counted)
    collection = make_learnable()
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    setup = Setup(collection, subsets, 1, kernels=kernels.Kernels(compiled=True))
    wanted = [override(configs[0], seed=number, epochs=number + 1) for number in range(8)]
    planned = [PlannedRun(config, tmp_path / str(number)) for number, config in enumerate(wanted)]
    ends = [job.run.name for job, report in train_together(setup, planned) if isinstance(report, Result)]
    assert ends == [*"01234567"]
    assert sizes == [8, 4, 2, 1]
    train_all(collection, wanted[6:7], tmp_path / "alone")
    found, alone = weights(tmp_path / "6"), weights(tmp_path / "alone" / "0")
    for name, tensor in alone.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0)


def test_the_test_list_is_read_once_for_all_heads_that_end_together(make_learnable, configs, tmp_path, monkeypatch):
    together, usual = [], outcome.predict_subset

    def counted(heads, *given):
        together.append(len(heads))
        return usual(heads, *given)

    monkeypatch.setattr(outcome, "predict_subset", counted)
    train_all(make_learnable(), [*configs, override(configs[0], epochs=2, seed=9)], tmp_path)
    assert together == [1, 3]
