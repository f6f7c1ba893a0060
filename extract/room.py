"""Room for a batch in a GPU's memory: tried before the first row is written, and batches halved where there is none.

The batch stands in the kernel path of a file, so what has rows already keeps its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from amnet_common.errors import DeviceMemoryError
from amnet_common.machine.memory import release
from amnet_common.out_of_memory import is_out_of_memory, reason
from extract.frozen_trunk import FrozenTrunk


def find_room(trunk: FrozenTrunk, codes: bool, begun: str = "") -> str:
    """Find room in memory for the batches of a trunk, which are halved until there is; return the line that says so, or
    nothing.

    `codes`: of a uint8 collection. `begun`: the file whose rows were computed in such batches, which must stay.
    Raises DeviceMemoryError if there is no room for a single view, or for the batches of that file, ConfigError if what
    is to be compiled does not.
    """
    device, first, why = trunk.compute.device, trunk.compute.batch_size, ""
    while lacking := no_room(trunk, codes):
        why, size = lacking, trunk.compute.batch_size
        if size == 1:
            raise DeviceMemoryError(f"--device {device}: expected memory for one view, found too little ({why}); "
                                    "another program may hold it, and --device cpu takes none of it")  # fmt: skip
        if begun:
            raise DeviceMemoryError(f"--batch-size: expected memory on {device} for the {size} views of a batch of "
                                    f"{begun}, found too little ({why}); another program may hold it, or go on with "
                                    f"--batch-size {size // 2} --allow-other-kernels")  # fmt: skip
        trunk.compute = replace(trunk.compute, batch_size=size // 2)
        release(device)
    size = trunk.compute.batch_size
    return f"{device} has no room for batches of {first} views, computing in batches of {size} ({why})" if why else ""


def no_room(trunk: FrozenTrunk, codes: bool) -> str:
    """Tell why memory has no room for a batch; empty if it has."""
    try:
        if trunk.compute.compiled:
            trunk.warm_up()
        trunk.try_batch(codes)
    except Exception as error:  # CUDA, cuBLAS and the compiler each raise their own
        if not is_out_of_memory(error):
            raise
        return reason(error)
    return ""


@contextmanager
def memory_explained(batch_size: int, kept: str) -> Iterator[None]:
    """Turn an error that says that memory ran out in the middle into a DeviceMemoryError that says what to do; `kept`
    is what becomes of the rows.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(f"--batch-size: expected memory for batches of {batch_size} views, found too little "
                                f"({reason(error)}); {kept} when there is more, or with --batch-size "
                                f"{max(1, batch_size // 2)} --allow-other-kernels") from error  # fmt: skip
