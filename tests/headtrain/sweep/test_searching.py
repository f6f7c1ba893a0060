"""What a search asks, tells, keeps in its study, and says of a trial."""

import json
import math
import sys
from functools import partial

import numpy as np
import pytest

from amnet_common.errors import ConfigError, ExtraError, RunError
from headtrain.features.splits import split_subsets
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET
from headtrain.sweep.grid import read_axis
from headtrain.sweep.passes import passes
from headtrain.sweep.searching import begin_search, objective, search, trial_runs
from headtrain.sweep.space import Range, corners, described, read_range
from headtrain.sweep.study import STUDY, Search
from headtrain.sweep.sweeping import sweep
from headtrain.training.planned import Setup

AXES = [read_axis("penalty-form=paper,released"), read_axis("dropout=0.1,0.3")]
RANGES = [read_range("lr=1e-5:1e-2:log"), read_range("hidden=4:64")]


def new(out, axes=AXES, ranges=RANGES, seed=0, facts=None):
    return Search(out, axes, ranges, seed, facts or {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lr=1e-5:1e-2:log", Range("lr", ("learning_rate",), 1e-5, 1e-2, True)),
        ("l2=0:1e-4", Range("l2", ("l2",), 0.0, 1e-4, False)),
        ("target-mean=-1:1", Range("target-mean", ("target_mean",), -1.0, 1.0, False)),
        ("dropout=0.1:0.5", Range("dropout", ("feature_dropout", "regress_dropout"), 0.1, 0.5, False)),
    ],
)
def test_a_range_is_read_as_it_is_typed(text, wanted):
    assert read_range(text) == wanted


def test_a_range_of_an_integer_setting_has_integer_ends():
    found = read_range("steps=1:6")
    assert (found.low, found.high) == (1, 6)
    assert isinstance(found.low, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=1:2:3", r"expected KEY=LOW:HIGH or KEY=LOW:HIGH:log with one of dropout, .*lr.*, found 'lr=1:2:3'"),
        ("lr=1e-3", "found 'lr=1e-3'"),
        ("lr", "found 'lr'"),
        ("speed=1:2", "found 'speed=1:2'"),
        ("seed=1:2", "found 'seed=1:2'"),
        ("attention=0:1", "found 'attention=0:1'"),
        ("output=a:b", "found 'output=a:b'"),
        ("steps=1:2.5", "--range steps: expected a value of type int, found '2.5'"),
        ("lr=1e-2:1e-3", "--range lr: expected LOW < HIGH, found 0.01:0.001"),
        ("lr=1:1", "--range lr: expected LOW < HIGH, found 1.0:1.0"),
        ("lr=1:inf", "expected LOW < HIGH, found 1.0:inf"),
        ("lr=nan:1", "expected LOW < HIGH, found nan:1.0"),
        ("l2=0:1:log", "--range l2: expected LOW > 0 for a logarithmic scale, found 0.0"),
    ],
)
def test_what_is_no_range_is_refused(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_range(text)
    assert str(caught.value).startswith("--range")


@pytest.mark.parametrize(
    ("axes", "ranges", "message"),
    [
        (["lr=1e-3,1e-2"], ["lr=1e-5:1e-2"], "expected each setting once, found learning_rate in several"),
        ([], ["dropout=0:0.5", "regress-dropout=0:0.1"], "found regress_dropout in several"),
        (["steps=1,2"], ["hidden=0:8"], "--hidden: expected 1 or more, found 0"),
        ([], ["dropout=0.5:1"], r"--feature-dropout: expected a share in \[0, 1\), found 1.0"),
        ([], [], "--trials: expected a --grid or --range to search in, found none"),
    ],
)
def test_a_space_that_is_not_possible_everywhere_is_refused(axes, ranges, message):
    with pytest.raises(ConfigError, match=message):
        corners(AMNET, [read_axis(text) for text in axes], [read_range(text) for text in ranges])


def test_every_trial_lies_within_the_space_and_sets_what_its_keys_set(tmp_path):
    study = new(tmp_path)
    trials = study.ask(15)
    for trial in trials:
        values = trial.values
        assert 1e-5 <= values["learning_rate"] <= 1e-2
        assert 4 <= values["hidden"] <= 64
        assert isinstance(values["hidden"], int)
        assert values["penalty_form"] in ("paper", "released")
        assert values["feature_dropout"] == values["regress_dropout"]
        assert override(AMNET, **values).head.hidden == values["hidden"]
    assert [trial.name for trial in trials[:2]] == ["trial-0000", "trial-0001"]
    assert len({trial.values["learning_rate"] for trial in trials}) == 15


def test_optuna_shows_the_keys_as_parameters_and_the_values(tmp_path):
    import optuna

    study = new(tmp_path)
    (trial,) = study.ask(1)
    study.tell(trial, 0.25)
    (kept,) = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / STUDY}").trials
    assert kept.params == {
        "penalty-form": trial.values["penalty_form"],
        "dropout": trial.values["feature_dropout"],
        "lr": trial.values["learning_rate"],
        "hidden": trial.values["hidden"],
    }
    assert kept.value == 0.25


def test_what_was_asked_and_not_told_comes_first_again_with_the_same_values(tmp_path):
    study = new(tmp_path)
    first = study.ask(3)
    study.tell(first[1], 0.5)
    again = new(tmp_path)
    assert again.finished == 1
    assert again.unfinished() == [first[0], first[2]]
    assert again.ask(1) == [first[0]]
    asked = again.ask(4)
    assert asked[:2] == [first[0], first[2]]
    assert [trial.number for trial in asked[2:]] == [3, 4]


def test_a_folder_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "50%20 a?b=c#d"
    asked = new(out).ask(1)
    assert [path.name for path in out.iterdir()] == [STUDY]
    assert [*tmp_path.iterdir()] == [out]
    assert new(out).unfinished() == asked


def test_a_trial_whose_values_a_kill_cut_short_is_left_out(tmp_path):
    import optuna

    first = new(tmp_path).ask(1)
    half = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / STUDY}").ask()
    half.suggest_float("lr", 1e-5, 1e-2, log=True)
    study = new(tmp_path)
    assert study.unfinished() == first
    assert [trial.number for trial in study.ask(2)] == [0, 2]
    assert study.finished == 0


def test_a_search_that_was_stopped_asks_what_an_undisturbed_one_asks(tmp_path):
    def run(out, stops, count=14):
        study, found = new(out), []
        for number in range(count):
            if number in stops:
                study.ask(1)
                study = new(out)
            (trial,) = study.ask(1)
            found.append(trial)
            study.tell(trial, math.sin(100 * trial.values["learning_rate"]))
        return found

    assert run(tmp_path / "a", stops=()) == run(tmp_path / "b", stops=(0, 5, 12))


def test_another_data_seed_searches_elsewhere(tmp_path):
    assert new(tmp_path / "a", seed=0).ask(1) != new(tmp_path / "b", seed=1).ask(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranges": [RANGES[0]]}, "space.hidden: expected 4:64, found None"),
        ({"ranges": [RANGES[0], read_range("hidden=4:32")]}, "space.hidden: expected 4:64, found 4:32"),
        ({"ranges": [read_range("lr=1e-5:1e-2"), RANGES[1]]}, "space.lr: expected 1e-05:0.01:log, found 1e-05:0.01"),
        ({"axes": AXES[:1]}, "space.dropout: expected 0.1,0.3, found None"),
        ({"facts": {"seeds": 2}}, "facts.seeds: expected 1, found 2"),
    ],
)
def test_a_study_of_another_space_is_refused_in_one_line(tmp_path, change, message):
    new(tmp_path, facts={"seeds": 1}).ask(1)
    with pytest.raises(RunError, match=message) as caught:
        new(tmp_path, **{"facts": {"seeds": 1}} | change)
    assert str(caught.value) == f"--resume: {tmp_path} is another search: {message}"
    assert new(tmp_path, facts={"seeds": 1}).unfinished()


def test_a_file_that_is_no_study_is_named_in_one_line(tmp_path):
    (tmp_path / STUDY).write_bytes(b"no database at all" * 100)
    with pytest.raises(RunError, match=r"study\.db: expected a study .* found another file") as caught:
        new(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_optuna_the_extra_is_named_before_anything_is_touched(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ExtraError, match=r"expected optuna, found none; pip install 'amnet\[sweep\]'"):
        new(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_heads_that_say_the_same_of_every_image_are_the_worst_there_are():
    assert objective([0.5, math.nan]) == -0.25
    assert objective([math.nan]) == -1


def test_a_space_is_described_as_it_is_typed():
    assert described([read_axis("attention=true,false")], RANGES) == {
        "attention": "true,false",
        "lr": "1e-05:0.01:log",
        "hidden": "4:64",
    }


def test_epochs_chosen_on_the_test_list_are_refused(small, tmp_path):
    with pytest.raises(ConfigError, match=r"--trials: expected --select-on validation, .* found test"):
        begin_search({}, override(small, select_on="test"), [0], AXES, RANGES, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_trial_is_told_the_mean_validation_rho_of_its_heads(make_learnable, small, tmp_path):
    import optuna

    collection, out, seeds = make_learnable(), tmp_path / "s", range(2)
    base = override(small, attention=False, epochs=2)
    setups = {1: Setup(collection, split_subsets(collection, 1, base.training.data_seed, False), 1)}
    study = begin_search(setups, base, seeds, [], [read_range("lr=1e-4:1e-1:log")], out)
    runs_of = partial(trial_runs, base=base, seeds=seeds, splits=[1], out=out)
    sizes = []

    def train(runs):
        sizes.append(len(runs))
        return sweep(setups, passes(runs, lambda _: 4))

    for _ in search(study, 3, 2, runs_of, train):
        pass
    assert sizes == [4, 2]  # heads: two trials of two seeds, then one
    assert study.finished == 3
    for trial in optuna.load_study(study_name=None, storage=f"sqlite:///{out / STUDY}").trials:
        runs = [out / f"trial-{trial.number:04},seed={seed}" / "split-1" for seed in seeds]
        rhos = [json.loads((run / "metrics.json").read_text())["best"]["val_rho"] for run in runs]
        assert None not in rhos
        assert trial.value == pytest.approx(np.mean(rhos), abs=1e-12)
        config = json.loads((runs[1] / "run.json").read_text())["config"]["training"]
        assert (config["learning_rate"], config["seed"]) == (trial.params["lr"], 1)
