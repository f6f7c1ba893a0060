"""How much memory there is to take."""

import os
from pathlib import Path

import torch


def free_bytes(device: str) -> int:
    """What a process may take more: on a GPU, or, for another device, of the main memory."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()  # what torch keeps of freed memory is free
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
