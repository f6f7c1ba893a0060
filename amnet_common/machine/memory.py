"""Main memory and GPU memory: how much is free, and freed memory kept by the process.

Large arrays come and go, and fresh pages cost more than the sums on them.
"""

import ctypes
import gc
import os
import sys
from pathlib import Path

import torch

from amnet_common.machine.devices import made_current
from amnet_common.machine.memory_limit import left_by_limits

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Make malloc reuse freed memory, whatever its size, instead of returning it to the system; tell whether it did.

    A process's memory then stays at its peak. Only glibc has this; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def release(device: str) -> None:
    """Give back what nothing uses any more: after memory ran out, what is tried next finds all of it."""
    gc.collect()  # the frames of an error and what they hold
    empty_cache(device)


def empty_cache(device: str) -> None:
    """Give back what torch keeps of a GPU's freed memory."""
    kind = torch.device(device).type
    if kind == "cuda":
        with made_current(device):  # else the cache of the current card is emptied, which opens that card
            torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


def available_bytes(device: str) -> int:
    """Return how many bytes a process may take more: on a GPU, or, for another device, of the main memory.

    A container or a job of a cluster may leave less than the machine has. Where the system does not say (not Linux) it
    is half of the main memory.
    """
    if torch.device(device).type == "cuda":
        empty_cache(device)  # what torch keeps of freed memory is free
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = left_by_limits()
        return free if limit is None else min(free, limit)
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def memory_of_card(device: str) -> int:
    """Return the bytes of a GPU's memory, free or not: a fact of the machine, which decides alike each time."""
    return int(torch.cuda.mem_get_info(device)[1])
