"""`--shard auto`: the shard from the variables of each batch system, as its manual has them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from amnet_common.errors import ConfigError
from extract.runners import begun_without_srun, place_among

LAUNCHER = Path(__file__).parents[1] / "support" / "light_extract.py"


def of_array(index, count, first=0, step=1):
    names = ("ID", "COUNT", "MIN", "MAX", "STEP")
    numbers = (index, count, first, first + (count - 1) * step, step)
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in zip(names, numbers, strict=True)}


def of_srun(index, count):
    return {"SLURM_PROCID": str(index), "SLURM_NTASKS": str(count)}


def of_torchrun(index, count):
    return {"RANK": str(index), "WORLD_SIZE": str(count)}


def of_kubernetes(index, count):
    return {"JOB_COMPLETION_INDEX": str(index), "AMNET_COMPLETIONS": str(count)}


def shard(*variables):
    place = place_among({name: text for some in variables for name, text in some.items()})
    return f"{place.number}/{place.count}"


@pytest.mark.parametrize("runner", [of_array, of_srun, of_torchrun, of_kubernetes])
def test_every_runner_counts_from_0_and_a_shard_from_1(runner):
    assert [shard(runner(index, 3)) for index in range(3)] == ["1/3", "2/3", "3/3"]


def test_an_array_may_begin_at_1_and_a_single_task_has_all():
    assert [shard(of_array(index, 3, first=1)) for index in (1, 2, 3)] == ["1/3", "2/3", "3/3"]
    assert shard(of_array(1, 1, first=1)) == shard(of_array(0, 1)) == "1/1"
    assert shard({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"}) == "3/4"


@pytest.mark.parametrize("within", [of_srun, of_torchrun])
def test_processes_of_array_tasks_share_the_rows_and_none_has_those_of_another(within):
    numbers = [shard(of_array(task, 3, first=1), within(process, 2)) for task in (1, 2, 3) for process in (0, 1)]
    assert numbers == ["1/6", "2/6", "3/6", "4/6", "5/6", "6/6"]


def test_the_pair_of_the_most_processes_counts():
    assert shard(of_srun(1, 2), of_torchrun(6, 8)) == "7/8"  # torchrun begun by srun on two machines
    assert shard(of_srun(3, 4), of_torchrun(0, 1)) == "4/4"
    assert shard(of_kubernetes(2, 3), of_torchrun(2, 3)) == "3/3"
    assert shard({"JOB_COMPLETION_INDEX": "1"}, of_torchrun(1, 2)) == "2/2"  # whose count Kubernetes does not say
    with pytest.raises(ConfigError, match="found 2/4, from SLURM_PROCID=1, SLURM_NTASKS=4, and 3/4, from RANK=2, "):
        shard(of_srun(1, 4), of_torchrun(2, 4))


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, "found none of them; give --shard I/N"),
        ({"SLURM_PROCID": "0", "RANK": ""}, "found SLURM_PROCID alone; give"),
        ({"JOB_COMPLETION_INDEX": "1"}, "found JOB_COMPLETION_INDEX alone"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "expected SLURM_ARRAY_TASK_COUNT beside SLURM_ARRAY_TASK_ID, found none"),
        (of_array(4, 3, step=2), "found 3 tasks from 0 to 4 in steps of 2; submit the whole array again"),
        (of_array(1, 3) | {"SLURM_ARRAY_TASK_MAX": "5"}, "found 3 tasks from 0 to 5 in steps of 1;"),
        (of_array(3, 1, first=3), "expected an array that begins at 0 or 1, found one that begins at 3, as a part"),
        (of_array(3, 3), "found SLURM_ARRAY_TASK_ID=3, SLURM_ARRAY_TASK_MIN=0, SLURM_ARRAY_TASK_COUNT=3; give"),
        (of_array(0, 3, first=1), "expected a number within the count beside it"),
        (of_srun(2, 2), "found SLURM_PROCID=2, SLURM_NTASKS=2"),
        (of_torchrun(0, 0), "found RANK=0, WORLD_SIZE=0"),
        (of_torchrun("-1", 2), "RANK: expected a whole number, found '-1'"),
        (of_kubernetes("one", 2), "JOB_COMPLETION_INDEX: expected a whole number, found 'one'"),
        (of_array(1, 10**9), "SLURM_ARRAY_TASK_COUNT: expected a whole number"),
    ],
)
def test_what_names_no_shard_is_refused_in_one_line(variables, found):
    with pytest.raises(ConfigError, match=f"^--shard auto: .*{re.escape(found)}") as raised:
        place_among(variables)
    assert "\n" not in str(raised.value)


def test_several_tasks_without_srun_are_noted():
    in_job = {"SLURM_JOB_ID": "7"} | of_srun(0, 4)
    assert begun_without_srun(in_job).startswith("SLURM_NTASKS is 4, and no step of srun has begun this process")
    assert begun_without_srun(in_job | {"SLURM_STEP_ID": "0"}) == begun_without_srun({"SLURM_JOB_ID": "7"}) == ""
    assert begun_without_srun({}) == begun_without_srun(in_job | {"SLURM_NTASKS": "1"}) == ""


def test_four_tasks_fill_one_file_to_the_bytes_of_one_process(pictures, extract, unlike_rows, monkeypatch):
    dataset = pictures(7)
    extract(dataset, "--out", "whole.h5")
    for task in (2, 1):
        for process in (0, 1):
            variables = of_array(task, 2, first=1) | of_srun(process, 2)
            for name, text in variables.items():
                monkeypatch.setenv(name, text)
            run = extract(dataset, "--shard", "auto")
            assert run.status == 0
            line = f"note: --shard auto: {2 * task - 1 + process}/4, from SLURM_ARRAY_TASK_ID={task}, "
            taken = ("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_PROCID", "SLURM_NTASKS")
            assert line + ", ".join(f"{name}={variables[name]}" for name in taken) in run.stderr.splitlines()
    assert unlike_rows("t.h5", "whole.h5") == []


@pytest.mark.slow
def test_four_processes_at_once_fill_one_file_to_the_bytes_of_one(pictures, extract, unlike_rows, tmp_path):
    dataset = pictures(9)
    extract(dataset, "--out", "whole.h5")
    words = ["--dataset", "folder", "--root", dataset.image_root, "--out", "t.h5", "--weights", "untrained", "--augs",
             "1", "--shard", "auto"]  # fmt: skip
    piped = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-P", LAUNCHER, *map(str, words)]
    tasks = [subprocess.Popen(command, env=os.environ | of_array(index, 4), **piped) for index in range(4)]
    said = [task.communicate(timeout=300) for task in tasks]
    assert [task.returncode for task in tasks] == [0] * 4, said
    assert unlike_rows("t.h5", "whole.h5") == []


def test_without_variables_the_command_ends_before_it_looks_at_images(pictures, extract, monkeypatch, tmp_path):
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "SLURM_NTASKS", "RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    run = extract(pictures(1), "--shard", "auto")
    assert (run.status, run.stdout, len(run.stderr.splitlines())) == (2, "", 1)
    assert run.stderr.startswith("main: --shard auto: expected SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT, ")
    assert not (tmp_path / "t.h5").exists()
