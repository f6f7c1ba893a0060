"""What a container's or a job's limit leaves is free, not what the machine has."""

import pytest

from amnet_common.machine import memory
from amnet_common.machine.memory_limit import left_by_limits

GB = 10**9
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file {}\ntotal_active_file {}\ntotal_rss 7\n")
V2 = ("memory.max", "memory.current", "anon 7\ninactive_file {}\nactive_file {}\n")


@pytest.fixture
def write_group(tmp_path):
    """write_group(path, files, limit, used, inactive, active) makes a group's files."""

    def write(path, files, limit, used, inactive=0, active=0):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / files[0]).write_text(f"{limit}\n")
        (folder / files[1]).write_text(f"{used}\n")
        (folder / "memory.stat").write_text(files[2].format(inactive, active))

    return write


@pytest.fixture
def left(tmp_path):
    def read(lines):
        (tmp_path / "self").write_text(lines)
        return left_by_limits(tmp_path / "self", tmp_path)

    return read


def test_the_tightest_group_above_a_process_counts_and_pages_of_files_are_free(write_group, left):
    write_group("slurm/job", V2, 64 * GB, 50 * GB, 20 * GB, 10 * GB)
    write_group("slurm", V2, 100 * GB, 10 * GB)
    write_group("slurm/job/step", V2, "max", 50 * GB)
    assert left("0::/slurm/job/step\n") == 44 * GB
    write_group("slurm", V2, 100 * GB, 90 * GB)
    assert left("0::/slurm/job/step\n") == 10 * GB


def test_groups_of_the_first_version_are_read_and_those_that_a_container_does_not_see_are_left_out(write_group, left):
    write_group("memory", V1, 16 * GB, 12 * GB, GB, GB)
    assert left("9:name=systemd:/\n5:cpu,memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n") == 6 * GB


def test_a_group_that_is_full_leaves_nothing(write_group, left):
    write_group("a", V2, GB, 2 * GB)
    assert left("0::/a\n") == 0


@pytest.mark.parametrize("lines", ["0::/\n", "0::/no/such\n1:memory:/none\n", ""])
def test_without_a_limit_the_machine_s_memory_counts(lines, left, tmp_path):
    assert left(lines) is None
    assert left_by_limits(tmp_path / "absent", tmp_path) is None


def test_what_is_available_is_within_the_limit(monkeypatch):
    monkeypatch.setattr(memory, "left_by_limits", lambda: 12345)
    assert memory.available_bytes("cpu") == 12345
    monkeypatch.setattr(memory, "left_by_limits", lambda: None)
    assert memory.available_bytes("cpu") > 12345
