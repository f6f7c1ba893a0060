"""Threads and workers are no more than a container's share of time; without one nothing changes."""

import os

import pytest
import torch

from amnet_common.machine import cpu_limit, threads
from amnet_common.machine.cpu_limit import available_cores, cores_by_quota
from extract.compute import Hardware, choose_compute, default_workers


@pytest.fixture
def cores(tmp_path):
    """cores("0::/a", {"a/cpu.max": "200000 100000"}) -> the cores that these groups grant."""

    def read(lines, files):
        (tmp_path / "self").write_text(f"{lines}\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        return cores_by_quota(tmp_path / "self", tmp_path)

    return read


@pytest.mark.parametrize(
    ("text", "count"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("1000 1000000", 1), ("max 100000", None)],
)
def test_quota_is_time_by_period_and_a_part_of_a_core_counts_as_one(cores, text, count):
    assert cores("0::/a", {"a/cpu.max": text}) == count


def test_the_tightest_group_above_a_process_counts(cores):
    files = {"pod/one/cpu.max": "400000 100000", "pod/cpu.max": "600000 200000", "cpu.max": "max 100000"}
    assert cores("0::/pod/one", files) == 3
    assert cores("0::/outside/of/the/container", {"cpu.max": "700000 100000"}) == 7


@pytest.mark.parametrize(("quota", "count"), [("250000", 3), ("-1", None), ("0", None)])
def test_groups_of_the_first_version_are_read(cores, quota, count):
    files = {"cpu/docker/cpu.cfs_quota_us": quota, "cpu/docker/cpu.cfs_period_us": "100000"}
    assert cores("5:memory:/else\n4:cpuacct,cpu:/docker\n0::/", files) == count


@pytest.mark.parametrize("text", ["", "many 100000", "100000", "100000 0", "1 2 3"])
def test_what_is_no_quota_limits_nothing(cores, text, tmp_path):
    assert cores("0::/a", {"a/cpu.max": text}) is None
    assert cores_by_quota(tmp_path / "absent", tmp_path) is None


@pytest.fixture
def grant(monkeypatch):
    """grant(2): a quota of two cores on a machine of eight, where torch has four threads; grant(None): no quota."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    torch.set_num_threads(4)

    def give(count):
        monkeypatch.setattr(cpu_limit, "cores_by_quota", lambda: count)
        monkeypatch.setattr(threads, "cores_by_quota", lambda: count)

    yield give
    torch.set_num_threads(before)


@pytest.mark.parametrize(("quota", "cores_", "workers", "used"), [(2, 2, 2, 2), (None, 8, 8, 4), (100, 8, 8, 4)])
def test_extraction_and_training_keep_within_the_quota(grant, quota, cores_, workers, used):
    grant(quota)
    assert (available_cores(), default_workers("cuda")) == (cores_, workers)
    assert choose_compute(Hardware("cpu")).threads == used
    torch.set_num_threads(4)
    threads.keep_within_quota()
    assert torch.get_num_threads() == used


def test_what_a_user_or_a_file_says_goes_before_the_quota(grant, monkeypatch):
    grant(2)
    assert choose_compute(Hardware("cpu", threads=3)).threads == 3
    assert choose_compute(Hardware("cpu"), begun={"device": "cpu", "precision": "float32", "threads": 4}).threads == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    threads.keep_within_quota()
    assert torch.get_num_threads() == 4
