"""How much memory a child process may take that reads a file from elsewhere, where the system can limit it."""

import contextlib
import os

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]


def limit_memory(most: int) -> None:
    """Keep this process within `most` bytes beyond what it has now, and from writing a core dump."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        with open("/proc/self/statm") as file:
            begun = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (begun + most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with contextlib.suppress(OSError, ValueError, AttributeError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
