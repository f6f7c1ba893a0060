"""The scripts of examples/slurm: what they call, what that makes, and what they do when stopped."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from extract.cli import main as extract_command
from headtrain.cli import main as head

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples/slurm").glob("*.sbatch"))
COMMANDS = {"amnet-extract": extract_command, "amnet-cache": cache, "amnet-head": head}
RECORDED = """#!/bin/bash
{ printf '%s\\n' "${0##*/}" "$@"; echo; } >> "$CALLS"
exit ${STATUS:-0}
"""
STOPPED = """#!/bin/bash
trap 'echo stopped >> "$CALLS"; exit 143' TERM
echo begun
while true; do sleep 0.05; done
"""


@pytest.fixture
def place(tmp_path):
    """A folder with commands that note how they are called in place of real ones, and the variables of a job."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in (*COMMANDS, "scontrol"):
        (commands / name).write_text(RECORDED)
        (commands / name).chmod(0o755)
    return tmp_path, os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "PHOTOS": str(tmp_path / "pictures"),
        "FEATURES": str(tmp_path / "the features"),
        "RUNS": str(tmp_path / "runs"),
        "SLURM_JOB_ID": "40",
        "SLURM_ARRAY_JOB_ID": "40",
        "SLURM_ARRAY_TASK_ID": "0",
    }


def calls(place, script, *options, **more):
    """Exit status of a script, and the words of each command that it has called."""
    folder, variables = place
    (folder / "calls").write_text("")
    path = ROOT / "examples/slurm" / f"{script}.sbatch"
    done = subprocess.run(["bash", path, *options], env=variables | more, check=False, timeout=60)
    return done.returncode, [text.split("\n") for text in (folder / "calls").read_text().split("\n\n") if text]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_bash_that_may_begin_again_and_calls_commands_that_are_there(path, place):
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert {"#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(path.read_text().splitlines())
    status, found = calls(place, path.stem)
    assert status == 0
    assert found
    for name, *words in found:
        group, own = COMMANDS[name], name == "amnet-extract"
        command = group if own else group.commands[words[0]]
        command.make_context(name, words[not own :])  # raises for words that it does not take


def test_array_and_link_make_what_one_process_makes(place, pictures, extract, monkeypatch):
    dataset, (folder, _) = pictures(5), place
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for round_ in (1, 2):
        for task in ("0", "1"):
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
            _, [[_, *words]] = calls(place, "extract", SLURM_ARRAY_TASK_ID=task)
            assert extract(dataset, *words).status == 0
        found = calls(place, "link")[1]
        assert [words[1] for words in found] == ["link", "verify"][round_ - 1 :]
        for _, *words in found:
            result = CliRunner().invoke(cache, words, catch_exceptions=False)
            assert result.exit_code == 0, result.output
    extract(dataset, "--out", "whole.h5")
    linked, whole = Collection(folder / "the features/all.h5"), Collection("whole.h5")
    assert (linked.ids, linked.status.tolist()) == (whole.ids, [1] * 5)
    assert linked.read(range(5), check=True).tobytes() == whole.read(range(5), check=True).tobytes()


@pytest.mark.parametrize("script", ["extract", "sweep"])
@pytest.mark.parametrize(("status", "goes_on"), [(0, True), (1, True), (2, False), (75, False), (143, False)])
def test_failed_images_hold_nothing_up_and_other_failures_do(place, script, status, goes_on):
    found = calls(place, script, STATUS=str(status))[0]
    assert (found == 0) == goes_on


def test_options_behind_the_script_go_before_its_own(place):
    [[_, *words]] = calls(place, "extract", "--dataset", "csv", "--labels", "the scores.csv")[1]
    given = extract_command.make_context("amnet-extract", words).params
    assert (given["name"], given["labels"], given["shard"]) == ("csv", Path("the scores.csv"), "auto")


def test_sweep_that_was_begun_is_resumed(place):
    assert "--resume" not in calls(place, "sweep")[1][0]
    (place[0] / "runs").mkdir()
    assert calls(place, "sweep")[1][0][-1] == "--resume"


@pytest.mark.parametrize(
    ("script", "name", "job"), [("extract", "amnet-extract", "40_3"), ("sweep", "amnet-head", "40")]
)
def test_before_its_time_is_up_a_job_stops_its_command_and_asks_to_begin_again(place, script, name, job):
    folder, variables = place
    (folder / "commands" / name).write_text(STOPPED)
    with subprocess.Popen(["bash", ROOT / f"examples/slurm/{script}.sbatch"], stdout=subprocess.PIPE, text=True,
                          env=variables | {"SLURM_ARRAY_TASK_ID": "3"}) as process:  # fmt: skip
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=30) == 143
    assert (folder / "calls").read_text() == f"stopped\nscontrol\nrequeue\n{job}\n\n"


@pytest.mark.parametrize(("script", "name"), [("extract", "PHOTOS"), ("link", "FEATURES"), ("sweep", "RUNS")])
def test_script_without_its_folders_ends_at_once(place, script, name):
    assert calls(place, script, **{name: ""}) == (1, [])
