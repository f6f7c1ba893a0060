"""A run that is stopped and resumed ends with the weights of an undisturbed one."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from amnet_common.errors import RunError
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import BEST, LAST, load_head
from headtrain.runs.folder import STATE
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import override
from headtrain.training.loop import train
from headtrain.training.planned import Setup


def epochs_of(collection, config, run, resume=False, most=None):
    """The epochs that one training yields, at most so many, and whether it came to its end."""
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    steps, seen = train(Setup(collection, subsets, 1, resume=resume), config, run), []
    for epoch in steps:
        seen.append(epoch)
        if len(seen) == most:
            steps.close()
            return seen
    return seen


def assert_same_weights(a, b):
    for name in (BEST, LAST):
        found, wanted = load_head(a / name).state_dict(), load_head(b / name).state_dict()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.fixture
def config(small):
    return override(small, feature_dropout=0.4, weight_average=0.9, lr_schedule="cosine", epochs=4)


@pytest.mark.parametrize(("architecture", "stops"), [("paper", [1, 2]), ("released", [1])])
def test_resuming_gives_the_weights_of_an_undisturbed_run(make_learnable, config, tmp_path, stops, architecture):
    config = override(config, architecture=architecture, standardise=False, drop_last=True)
    collection = make_learnable()
    whole = epochs_of(collection, config, tmp_path / "whole")
    subsets = [epochs_of(collection, config, tmp_path / "cut", i > 0, most) for i, most in enumerate(stops)]
    subsets.append(epochs_of(collection, config, tmp_path / "cut", resume=True))
    assert [epoch.val_rho for part in subsets for epoch in part] == [epoch.val_rho for epoch in whole]
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")
    for name in ("log.csv", "test.csv"):
        found, wanted = ((tmp_path / run / name).read_text() for run in ("cut", "whole"))
        assert name == "log.csv" or found == wanted
        assert len(found.splitlines()) == len(wanted.splitlines())


def test_a_kill_between_state_and_checkpoints_loses_nothing(make_learnable, config, tmp_path, monkeypatch):
    collection = make_learnable()
    epochs_of(collection, config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            "headtrain.training.member.Member.write_checkpoints", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            epochs_of(collection, config, tmp_path / "cut")
    assert (tmp_path / "cut" / STATE).exists()
    assert not (tmp_path / "cut" / BEST).exists()
    epochs_of(collection, config, tmp_path / "cut", resume=True)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_finished_run_keeps_no_state(make_learnable, config, tmp_path):
    epochs_of(make_learnable(), config, tmp_path / "run")
    assert not (tmp_path / "run" / STATE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1e-5}, "config.training.learning_rate: expected 0.003, found 1e-05"),
        ({"steps": 2}, "config.head.steps: expected 3, found 2"),
    ],
)
def test_another_configuration_is_not_resumed(make_learnable, config, tmp_path, change, message):
    collection = make_learnable()
    epochs_of(collection, config, tmp_path / "run", most=1)
    with pytest.raises(RunError, match=message):
        epochs_of(collection, override(config, **change), tmp_path / "run", resume=True)


def test_a_damaged_state_is_named(make_learnable, config, tmp_path):
    collection = make_learnable()
    epochs_of(collection, config, tmp_path / "run", most=1)
    (tmp_path / "run" / STATE).write_bytes(b"half")
    with pytest.raises(RunError, match=r"state\.pt: expected the state of this run"):
        epochs_of(collection, config, tmp_path / "run", resume=True)


def test_a_killed_process_resumes_to_the_same_weights(make_learnable, config, tmp_path):
    collection = make_learnable()
    (tmp_path / "c.toml").write_text(to_toml(config))
    words = ["train", "--features", collection.path, "--config", tmp_path / "c.toml", "--device", "cpu"]
    command = [sys.executable, "-P", "-c", "from headtrain.cli import main; main()", *map(str, words)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    assert subprocess.run([*command, "--out", tmp_path / "whole"], check=False, **quiet).returncode == 0
    process = subprocess.Popen([*command, "--out", tmp_path / "cut"], **quiet)
    deadline = time.monotonic() + 60
    while not (tmp_path / "cut" / STATE).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = subprocess.run([*command, "--out", tmp_path / "cut", "--resume"], check=False, **quiet)
    assert resumed.returncode == 0
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_kill_after_unsaved_epochs_keeps_the_best_checkpoint_that_fits_the_log(
    make_learnable, config, tmp_path, monkeypatch
):
    """Saving is never due after the first epoch; what is left then is as if the second had never been."""
    collection = make_learnable()
    epochs_of(collection, config, tmp_path / "whole")
    monkeypatch.setattr("headtrain.training.pace.SHARE", 1e-9)
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    steps = train(Setup(collection, subsets, 1), config, tmp_path / "cut")
    next(steps), next(steps)
    saved = {name: (tmp_path / "cut" / name).read_bytes() for name in (STATE, BEST, LAST)}
    steps.close()  # which saves the second epoch ...
    for name, content in saved.items():
        (tmp_path / "cut" / name).write_bytes(content)  # ... but a kill would not have
    assert load_head(tmp_path / "cut" / LAST).provenance.epoch == 1
    again = epochs_of(collection, config, tmp_path / "cut", resume=True)
    assert [epoch.epoch for epoch in again] == [2, 3, 4]
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_training_that_is_closed_keeps_all_its_epochs(make_learnable, config, tmp_path, monkeypatch):
    monkeypatch.setattr("headtrain.training.pace.SHARE", 1e-9)
    collection = make_learnable()
    epochs_of(collection, config, tmp_path / "run", most=3)
    assert [epoch.epoch for epoch in epochs_of(collection, config, tmp_path / "run", resume=True)] == [4]
