"""How much memory a container or a job of a cluster leaves to its processes: the machine may have far more."""

from pathlib import Path
from typing import NamedTuple

from amnet_common.machine.control_groups import CGROUPS, OF_THIS_PROCESS, groups_above


class Files(NamedTuple):
    """Name what a control group says of its memory; pages of files, which the kernel gives up where memory is wanted,
    count as used there.
    """

    limit: str
    used: str
    pages_of_files: tuple[str, ...]  # lines of memory.stat


FILES = {
    1: Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
    2: Files("memory.max", "memory.current", ("inactive_file", "active_file")),
}


def left_by_limits(groups: Path = OF_THIS_PROCESS, root: Path = CGROUPS) -> int | None:
    """Return how many bytes this process may take more before its control group, or one above it, stops it.

    None where none of them has a limit, or the system has no such groups.
    """
    found = [left_in(group, FILES[version]) for group, version in groups_above("memory", groups, root)]
    return min((left for left in found if left is not None), default=None)


def left_in(group: Path, files: Files) -> int | None:
    """Return what a group's limit leaves, pages of files counted as free; None without a limit."""
    try:
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in (files.limit, files.used))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        if limit == "max":
            return None
        return max(0, int(limit) - int(used) + sum(int(stat.get(name, 0)) for name in files.pages_of_files))
    except (OSError, ValueError):
        return None
