"""Commands as users type them: what they print, and how much memory they take."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

# amnet-extract and amnet-head, also where they are not installed
EXTRACT = [sys.executable, "-c", "from extract.cli import main; main()"]
HEAD = [sys.executable, "-c", "from headtrain.cli import main; main()"]


class Watched(NamedTuple):
    """A command that has succeeded."""

    out: str
    err: str
    memory: int  # bytes, its peak


def watched(words: Sequence[object]) -> Watched:
    """Run a command. SystemExit with what it said if it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([str(word) for word in words], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = [file.seek(0) or file.read() for file in (out, err)]
    if process.returncode:
        raise SystemExit(f"{words[0]}: exit status {process.returncode}\n{said[1]}")
    return Watched(*said, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
