"""`amnet-head sweep` as a user types it."""

import csv
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest
import torch
from click.testing import CliRunner

from headtrain.cli import main
from headtrain.features import residency
from headtrain.heads.checkpoint import load_head

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 2, "--device", "cpu")


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def counts():
    """Enough validation images for rho to tell heads apart."""
    return 4, 6, 2


def test_every_combination_is_trained_on_every_split_and_listed(features, tmp_path):
    grid = ("--grid", "lr=1e-3,1e-2", "--grid", "steps=1,2", "--seeds", 2)
    result = amnet_head("sweep", "--features", features, *grid, "--out", tmp_path / "s", *SMALL)
    assert result.exit_code == 0, result.output
    assert "8 configurations on 2 splits: 16 heads in 4 passes of 4" in result.stderr
    runs = sorted(str(path.parent.relative_to(tmp_path / "s")) for path in tmp_path.rglob("metrics.json"))
    assert len(runs) == 16
    assert runs[0] == "lr=0.001,steps=1,seed=0/split-1"
    assert result.stdout.count("| 4 ") >= 4  # four heads each: two splits, two seeds
    listed = amnet_head("runs", tmp_path / "s", "--format", "csv", "--where", "lr=1e-2", "--where", "split=2")
    assert {row["steps"] for row in csv.DictReader(io.StringIO(listed.stdout))} == {"1", "2"}


def test_a_head_of_a_sweep_is_the_head_that_train_makes(features, tmp_path):
    amnet_head("sweep", "--features", features, "--grid", "lr=1e-3,1e-2", "--seeds", 2, "--out", tmp_path / "s", *SMALL)
    amnet_head(
        "train", "--features", features, "--split", 2, "--lr", 1e-2, "--seed", 1, "--out", tmp_path / "t", *SMALL
    )
    found = load_head(tmp_path / "s" / "lr=0.01,seed=1" / "split-2").state_dict()
    for name, wanted in load_head(tmp_path / "t").state_dict().items():
        torch.testing.assert_close(found[name], wanted, atol=1e-5, rtol=0)


def test_a_folder_that_exists_is_not_swept_into_without_resume(features, tmp_path):
    (tmp_path / "s").mkdir()
    result = amnet_head("sweep", "--features", features, "--out", tmp_path / "s", *SMALL)
    assert result.exit_code == 2
    assert "expected a new folder, found one that exists" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seed", 3), "--seed: expected --seeds N"),
        (("--heads-per-pass", "many"), "--heads-per-pass: expected auto or a number from 1, found 'many'"),
        (("--grid", "eval-view=0,9"), "--eval-view: expected a view in 0..1"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_trained(features, tmp_path, words, message):
    result = amnet_head("sweep", "--features", features, "--out", tmp_path / "s", *words, *SMALL)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not [*tmp_path.rglob("run.json")]


def test_halving_prunes_the_losers_untested_and_resume_leaves_them_pruned(features, tmp_path):
    words = ("sweep", "--features", features, "--grid", "lr=1e-6,1e-5,1e-3,1e-2", "--split", 1, "--halving", 2)
    small = (*SMALL[:-4], "--epochs", 5, "--device", "cpu")
    first = amnet_head(*words, "--out", tmp_path / "s", *small)
    assert first.exit_code == 0, first.output
    pruned = {path.parent for path in tmp_path.rglob("dropped.json")}
    tested = {path.parent for path in tmp_path.rglob("metrics.json")}
    assert len(pruned) + len(tested) == 4
    assert pruned
    assert not pruned & tested
    assert all(json.loads((run / "dropped.json").read_text())["epoch"] in (2, 4) for run in pruned)
    again = amnet_head(*words, "--out", tmp_path / "s", "--resume", *small)
    assert again.exit_code == 0, again.output
    assert {path.parent for path in tmp_path.rglob("metrics.json")} == tested
    statuses = json.loads(amnet_head("runs", tmp_path / "s", "--format", "json").stdout)
    assert sorted(row["status"] for row in statuses) == sorted(["pruned"] * len(pruned) + ["finished"] * len(tested))


def test_a_killed_sweep_goes_on_and_trains_no_finished_head_again(features, tmp_path):
    words = ["sweep", "--features", features, "--grid", "lr=1e-3,1e-2", "--heads-per-pass", 1, "--split", 1,
             *SMALL[:-4], "--epochs", 40, "--patience", 40, "--device", "cpu"]  # fmt: skip
    command = [sys.executable, "-P", "-c", "from headtrain.cli import main; main()", *map(str, words)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    first, second = (tmp_path / "cut" / f"lr={lr},seed=0" / "split-1" for lr in (0.001, 0.01))
    process = subprocess.Popen([*command, "--out", tmp_path / "cut"], **quiet)
    deadline = time.monotonic() + 60
    while not (second / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stamp = (first / "best.safetensors").stat().st_mtime_ns
    assert not (second / "metrics.json").exists()
    assert subprocess.run([*command, "--out", tmp_path / "cut", "--resume"], check=False, **quiet).returncode == 0
    assert (first / "best.safetensors").stat().st_mtime_ns == stamp
    assert len((second / "log.csv").read_text().splitlines()) == 41


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_views_of_a_split_are_freed_before_those_of_the_next_are_loaded(features, tmp_path, monkeypatch, command):
    seen, alive = [], []

    def watched(*args, **kwargs):
        gc.collect()
        alive.append(sum(one() is not None for one in seen))
        source = load(*args, **kwargs)
        seen.append(weakref.ref(source))
        return source

    load = residency.load
    monkeypatch.setattr(residency, "load", watched)
    more = ("--grid", "lr=1e-3,1e-4") if command == "sweep" else ()
    words = (command, "--features", features, "--split", "all", "--residency", "ram", *more, *SMALL)
    assert amnet_head(*words, "--out", tmp_path / "o").exit_code == 0
    assert alive == [0, 0]


@pytest.mark.parametrize("way", [("--grid", "lr=1e-3,1e-2"), ("--trials", 2, "--range", "lr=1e-3:1e-2")])
def test_views_are_in_memory_before_heads_are_counted_by_what_is_left(features, tmp_path, monkeypatch, way):
    order, fill = [], residency.Resident.fill
    monkeypatch.setattr(residency.Resident, "fill", lambda *given: (order.append("views"), fill(*given))[1])
    monkeypatch.setattr("headtrain.sweep.capacity.available_bytes", lambda _: (order.append("heads"), 10**9)[1])
    words = ("--features", features, *way, "--split", 1, "--residency", "ram", "--out", tmp_path / "s", *SMALL)
    result = amnet_head("sweep", *words)
    assert result.exit_code == 0, result.output
    assert order[0] == "views"
    assert "heads" in order
    assert order.count("views") == 1  # what was loaded to be counted beside is what is trained on
