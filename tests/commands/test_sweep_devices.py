"""`amnet-head sweep --devices`: a process a card trains passes of its own; processes of the CPU stand for cards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from headtrain.cli import main
from headtrain.settings.presets import AMNET
from headtrain.sweep.dividing import divided
from headtrain.sweep.passes import Pass
from headtrain.training.planned import PlannedRun

LAUNCHER = Path(__file__).parents[1] / "support" / "dying_sweep.py"
SMALL = ("--hidden", "8", "--regress-hidden", "4", "--no-attention", "--grid", "lr=1e-3,1e-2", "--seeds", "2",
         "--split", "1", "--heads-per-pass", "2")  # fmt: skip


def start(features, out, *options, **environment):
    words = [sys.executable, "-P", LAUNCHER, "sweep", "--features", features, "--out", out, *SMALL, *options]
    return subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=os.environ | environment)  # fmt: skip


def swept(*words, **environment):
    with start(*words, **environment) as process:
        process.output, process.notes = process.communicate(timeout=300)
    assert "Traceback" not in process.notes, process.notes
    return process


def made(folder):
    """What every run has come to: the bytes of each tensor of its weights, what they say of themselves (in any order),
    and the bytes of its test predictions.
    """
    found = {}
    for path in folder.rglob("test.csv"):
        with safe_open(path.with_name("best.safetensors"), "pt") as file:
            tensors = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
            found[str(path.parent.relative_to(folder))] = path.read_bytes(), tensors, file.metadata()
    return found


@pytest.fixture
def counts():
    """Enough validation images for rho to tell heads apart."""
    return 4, 6, 2


@pytest.mark.slow
def test_two_processes_one_killed_and_resumed_make_the_bytes_of_one(features, tmp_path):
    options = ("--epochs", "3")
    cut = swept(features, tmp_path / "two", *options, "--devices", "cpu,cpu", DIE_AT="lr=0.01,seed=0")
    assert cut.returncode == 2
    line = (
        "process 2 of 2 (cpu): killed by SIGKILL (main memory ran out, say); 2 of its 2 heads are left for --resume\n"
    )
    assert line in cut.notes
    assert "4 configurations on 1 splits: 4 heads in 2 passes, by 2 processes on cpu, cpu\n" in cut.notes
    assert sorted(made(tmp_path / "two")) == ["lr=0.001,seed=0/split-1", "lr=0.001,seed=1/split-1"]
    again = swept(features, tmp_path / "two", *options, "--devices", "cpu,cpu", "--resume")
    assert again.returncode == 0
    assert again.output.count("\n|--") == 1  # one leaderboard
    words = ["sweep", "--features", features, "--out", tmp_path / "one", *SMALL, *options, "--device", "cpu"]
    assert CliRunner().invoke(main, [*map(str, words)]).exit_code == 0
    assert made(tmp_path / "two") == made(tmp_path / "one")
    assert len(made(tmp_path / "one")) == 4


@pytest.mark.slow
def test_stopped_sweep_stops_its_processes_which_keep_their_epochs(features, tmp_path):
    with start(features, tmp_path / "s", "--epochs", "3000", "--patience", "3000", "--devices", "cpu,cpu") as process:
        runs = [tmp_path / "s" / f"lr={lr},seed=0" / "split-1" / "state.pt" for lr in (0.001, 0.01)]
        while not all(run.exists() for run in runs) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, notes = process.communicate(timeout=300)
    assert process.returncode == 143
    assert notes.endswith(f"{tmp_path / 's'} keeps its saved epochs; the same command with --resume goes on\n")
    assert ("Traceback" in notes, "are left for" in notes) == (False, False)


@pytest.mark.slow
def test_heads_are_counted_by_the_memory_of_each_card(features, tmp_path):
    more = ("--heads-per-pass", "auto", "--epochs", "1", "--halving", "2", "--devices", "cpu,cpu", "--split", "all")
    result = swept(features, tmp_path / "s", *more)
    assert result.returncode == 0, result.notes
    assert "4 configurations on 2 splits: 8 heads, by 2 processes on cpu, cpu; --halving compares all" in result.notes
    assert all(f"process {number} of 2 (cpu): views: " in result.notes for number in (1, 2))
    assert len(made(tmp_path / "s")) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--devices", "many"), "--devices: expected all, or cards such as 0,1 or cuda:0,cuda:1, found 'many'"),
        (("--devices", ""), "--devices: expected all, or cards such as 0,1 or cuda:0,cuda:1, found ''"),
        (("--devices", "0,0"), "--devices: expected each card once, found cuda:0 again in '0,0'"),
        (("--devices", "0", "--device", "cpu"), "--devices: expected without --device, found --device cpu too"),
        (("--devices", "cpu,cpu", "--trials", "3"), "--devices: expected without --trials, which are chosen by"),
    ],
)
def test_wrong_list_of_cards_is_one_line_and_nothing_is_made(features, tmp_path, words, message):
    result = CliRunner().invoke(main, ["sweep", "--features", str(features), "--out", str(tmp_path / "s"), *words])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "s").exists()


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1), st.integers(1, 6), st.booleans())
def test_passes_are_divided_in_order_and_evenly(sizes, count, whole_splits):
    planned = PlannedRun(AMNET, Path("run"))
    plan = [Pass(split, (planned,) * heads) for split, heads in sorted(sizes)]
    parts = divided(plan, count, whole_splits)
    assert [one for part in parts for one in part] == plan
    assert 1 <= len(parts) <= count
    assert all(parts)
    if whole_splits:
        splits = [split for part in parts for split in {one.split for one in part}]
        assert len(splits) == len(set(splits))
    else:
        heads = [sum(len(one.planned) for one in part) for part in parts]
        assert max(heads) <= sum(heads) / count + 5  # by one pass at most
