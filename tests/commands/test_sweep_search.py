"""`amnet-head sweep --trials` as a user types it."""

import json

import numpy as np
import optuna
import pytest
from click.testing import CliRunner

from headtrain.cli import main

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 2, "--device", "cpu")
SPACE = ("--range", "lr=1e-4:1e-1:log", "--grid", "dropout=0,0.3", "--heads-per-pass", 2)


@pytest.fixture
def search(features, tmp_path):
    """search(words) -> what the command says."""

    def run(*words):
        command = ("sweep", "--features", features, "--out", tmp_path / "s", *SPACE, *SMALL, *words)
        return CliRunner().invoke(main, [str(word) for word in command])

    return run


def trials_of(folder):
    return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}").trials


def test_a_search_trains_its_trials_on_every_split_and_resume_adds_to_them(search, tmp_path):
    first = search("--trials", 3)
    assert first.exit_code == 0, first.output
    assert "3 of 3 trials to go: 6 heads, in batches of 2 trials" in first.stderr
    runs = sorted(str(path.parent.relative_to(tmp_path / "s")) for path in tmp_path.rglob("metrics.json"))
    assert runs == [f"trial-000{number},seed=0/split-{k}" for number in range(3) for k in (1, 2)]
    assert first.stdout.count("\n|") == 5  # the leaderboard: a header of two lines and three configurations
    values = [trial.value for trial in trials_of(tmp_path / "s")]
    again = search("--trials", 4, "--resume")
    assert again.exit_code == 0, again.output
    assert "1 of 4 trials to go: 2 heads" in again.stderr
    found = trials_of(tmp_path / "s")
    assert [trial.value for trial in found[:3]] == values
    assert len(found) == 4


def test_trials_that_were_asked_but_not_told_are_trained_first_with_their_values(search, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("headtrain.sweep.study.Search.tell", interrupted)
        stopped = search("--trials", 2)
    assert stopped.exit_code == 130
    assert "the same command with --resume goes on" in stopped.stderr
    asked = [trial.params for trial in trials_of(tmp_path / "s")]
    assert len(asked) == 2
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.json")}
    assert stamps
    assert search("--trials", 2, "--resume").exit_code == 0
    found = trials_of(tmp_path / "s")
    assert [trial.params for trial in found] == asked
    for trial in found:
        runs = [tmp_path / "s" / f"trial-000{trial.number},seed=0" / f"split-{k}" for k in (1, 2)]
        rhos = [json.loads((run / "metrics.json").read_text())["best"]["val_rho"] for run in runs]
        assert trial.value == pytest.approx(np.mean([-1 if rho is None else rho for rho in rhos]))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps  # no finished head is trained again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--range: expected --trials N as well"),
        (("--trials", 2, "--halving", 2), "--halving: expected without --trials"),
        (("--trials", 2, "--range", "regress-dropout=0:0.5"), "expected each setting once, found regress_dropout"),
        (("--trials", 2, "--range", "eval-view=0:9"), "--eval-view: expected a view in 0..1"),
        (("--trials", 2, "--range", "steps=2:1"), "--range steps: expected LOW < HIGH, found 2:1"),
        (("--trials", 2, "--select-on", "test"), "--trials: expected --select-on validation"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_asked(search, tmp_path, words, message):
    result = search(*words)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "s").exists()


def test_a_search_is_not_resumed_with_other_settings(search):
    assert search("--trials", 1).exit_code == 0
    result = search("--trials", 2, "--resume", "--l2", 0.5)
    assert result.exit_code == 2
    assert "is another search: facts.config.training.l2: expected " in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(("split", "loads"), [("1", 1), ("all", 4)])
def test_all_batches_of_a_search_on_one_split_share_the_views_in_memory(search, split, loads):
    result = search("--trials", 4, "--split", split, "--residency", "ram")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("views: ram") == loads
