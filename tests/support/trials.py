"""A reader on file after file, and what it must survive: time, memory, and anything but an error of one line."""

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from figures import Figures

from amnet_common.errors import AmnetError

EXAMPLES = int(os.environ.get("AMNET_FUZZ_EXAMPLES", "10"))  # of each reader
MOST_SECONDS, MOST_BYTES = 20, 2 * 10**9
FIGURES = Figures("AMNET_FUZZ_REPORT")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Trial:
    """A reader on file after file: each is read, or refused in one line, in bounded time and memory."""

    def __init__(self, name: str, read: Callable[[Path], object]) -> None:
        self.name, self.read = name, read
        self.files = self.refused = 0
        self.slowest, self.begun_bytes = 0.0, peak_bytes()

    def give(self, path: Path) -> None:
        """Let the reader read one file."""
        started, refusal = time.monotonic(), ""
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(MOST_SECONDS)
        try:
            self.read(path)
        except (AmnetError, OSError) as error:  # what a command ends with in one line
            refusal = str(error)
        except KeyboardInterrupt:
            pytest.fail(f"{self.name}: still at work after {MOST_SECONDS} s")
        finally:
            signal.alarm(0)
        assert "\n" not in refusal
        assert len(refusal) < 2000, f"{refusal[:200]} ... {refusal[-200:]}"
        self.files, self.refused = self.files + 1, self.refused + bool(refusal)
        self.slowest = max(self.slowest, time.monotonic() - started)
        assert peak_bytes() - self.begun_bytes < MOST_BYTES

    def count(self) -> None:
        """Add its line to the figures."""
        FIGURES.add("Mutated files", reader=self.name, files=self.files, refused_in_one_line=self.refused,
                    slowest_s=f"{self.slowest:.1f}", more_memory_MB=(peak_bytes() - self.begun_bytes) // 10**6,
                    tracebacks=0, hangs=0, killed=0)  # fmt: skip
