"""How many cores a process may keep busy: those that it may run on, and what its container's share of time leaves."""

import math
import os
from pathlib import Path

from amnet_common.machine.control_groups import CGROUPS, OF_THIS_PROCESS, groups_above


def available_cores() -> int:
    """Count the cores that this process may use: those that it may run on, or its quota where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cores_by_quota()
    return cores if quota is None else min(cores, quota)


def cores_by_quota(groups: Path = OF_THIS_PROCESS, root: Path = CGROUPS) -> int | None:
    """Return how many cores' time the process's control group, or one above it, grants; a part of one counts as one.

    None where none of them has a quota, or the system has no such groups.
    """
    found = [quota_of(group, version) for group, version in groups_above("cpu", groups, root)]
    least = min((quota for quota in found if quota is not None), default=None)
    return None if least is None else max(1, math.ceil(least))


def quota_of(group: Path, version: int) -> float | None:
    """Return how many cores' time a group grants; None without a quota."""
    names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
        if quota == "max" or int(quota) <= 0 or int(period) <= 0:  # -1: none, in the first version
            return None
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None
