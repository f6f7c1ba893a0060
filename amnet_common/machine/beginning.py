"""What a command that trains or scores settles of its process before it computes."""

from amnet_common.machine.memory import keep_freed_memory
from amnet_common.machine.threads import keep_within_quota


def begin_to_compute() -> None:
    """Let the process keep the memory that it frees, and compute with no more threads than its quota grants."""
    keep_freed_memory()
    keep_within_quota()
