"""How many threads torch computes with on the CPU, where nobody says: one a core, but no more than a quota grants.

More than that do not compute faster: the kernel stops them all for the rest of each period.
"""

import os

import torch

from amnet_common.machine.cpu_limit import cores_by_quota


def usual_threads() -> int:
    """Return how many threads torch has, or the quota where that is less and OMP_NUM_THREADS does not say."""
    threads, quota = torch.get_num_threads(), cores_by_quota()
    return threads if quota is None or os.environ.get("OMP_NUM_THREADS") else min(threads, quota)


def keep_within_quota() -> None:
    """Let torch compute with `usual_threads`; without a quota nothing changes."""
    if (threads := usual_threads()) < torch.get_num_threads():
        torch.set_num_threads(threads)
