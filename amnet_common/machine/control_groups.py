"""The control groups that a container or a job of a cluster puts its processes into: folders of their limits."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS, OF_THIS_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def groups_above(kind: str, groups: Path, root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the process's group and of all above it that limit what `kind` names, memory or cpu say, and
    the version of their files; in a container only the upper ones may be seen.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        top, version = (root / kind, 1) if kinds else (root, 2)
        inside = PurePosixPath(path.lstrip("/"))
        for one in (inside, *inside.parents):
            yield top / one, version
