"""How a file or a run came to be: when, by which command, with which versions. Kept for people, compared by nobody."""

import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from amnet_common import __version__

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "h5py", "pillow")  # whose versions may change a figure
MOST_CHARACTERS = 2_000  # of a command line


def made_here() -> dict[str, object]:
    """Return date (UTC), command line and versions of this moment, as JSON values."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    plain = command.encode("utf-8", "backslashreplace").decode()  # file names may hold bytes that are no UTF-8
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": plain[:MOST_CHARACTERS],
        "versions": {"amnet": __version__, "python": sys.version.split()[0], **_packages()},
    }


def made_line(made: object) -> str:
    """Tell when and by which command something was made, with its versions; empty where it does not say."""
    if not isinstance(made, Mapping):
        return ""
    versions = made.get("versions")
    known = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, Mapping) else ""
    return f"{made.get('date')} by {made.get('command')} ({known})"


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
