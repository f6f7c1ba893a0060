"""What an extraction waited for, and which option would move it: one line at its end (pure)."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from amnet_common.collection.layout import DTYPES
from amnet_common.machine.cpu_limit import available_cores
from amnet_common.machine.devices import multiplies_bfloat16
from extract.clock import CUT, DECODE, PICTURES, READ, TRUNK, WRITE
from extract.compute import PAYS_FROM, Compute
from extract.trunk_description import USUAL_TRUNK, TrunkDescription

LIMITS = (TRUNK, PICTURES, WRITE)
NAMES = {TRUNK: "trunk", PICTURES: "pictures", WRITE: "writing"}


@dataclass(frozen=True)
class Work:
    """Describe what was done, and by what."""

    images: int
    views: int  # in all
    bytes: int  # of features
    dtype: str
    workers: int  # that read, decode and cut
    cores: int
    half: bool  # whether the device multiplies half precision faster, and the trunk bears it
    compiles: bool = True  # whether the trunk does

    @classmethod
    def on_this_machine(
        cls, images: int, views: int, dtype: str, workers: int, compute: Compute,
        trunk: TrunkDescription = USUAL_TRUNK,
    ) -> "Work":  # fmt: skip
        """Describe the work of `images` images of `views` views each, with what this machine has."""
        count = images * views
        size = count * math.prod(trunk.view_shape) * DTYPES[dtype].itemsize
        half = trunk.usual and (compute.kind != "cpu" or multiplies_bfloat16("cpu"))
        return cls(images, count, size, dtype, workers, available_cores(), half, trunk.usual)


def breakdown(seconds: Mapping[str, float], elapsed: float, work: Work, compute: Compute) -> str:
    """Return the line that says what an extraction waited for, and which option would move it.

    `seconds`: of every stage, as `Clock` has them; `elapsed`: wall time in seconds.
    """
    limit = limit_of(seconds)
    shares = ", ".join(f"{name} {100 * seconds.get(stage, 0.0) / elapsed:.0f} %" for stage, name in NAMES.items())
    read, decode, cut, write = (seconds.get(stage, 0.0) for stage in (READ, DECODE, CUT, WRITE))
    rates = (f"an image takes a worker {ms(read, work.images)} to read and {ms(decode, work.images)} to decode, a view "
             f"{ms(cut, work.views)} to cut; {work.bytes / 1e9 / max(write, 1e-9):.1f} GB/s written")  # fmt: skip
    return f"time: {shares} ({rates}); limit: {NAMES[limit]}; {advice(limit, seconds, work, compute)}"


def limit_of(seconds: Mapping[str, float]) -> str:
    """Return the stage that the others waited for."""
    return max(LIMITS, key=lambda stage: seconds.get(stage, 0.0))


def ms(seconds: float, count: int) -> str:
    """Return the milliseconds that each of `count` things took, as text: `3.2 ms`."""
    return f"{1000 * seconds / max(count, 1):.1f} ms"


def advice(limit: str, seconds: Mapping[str, float], work: Work, compute: Compute) -> str:
    """Tell what would move the limit; what makes another kernel path or spec is advised for a new file."""
    if limit == TRUNK:
        return trunk_advice(work, compute)
    if limit == WRITE:
        return (
            "--dtype uint8 writes half (in a new file)"
            if work.dtype != "uint8"
            else "a faster disk for --out would help"
        )
    waits = seconds.get(READ, 0.0) > seconds.get(DECODE, 0.0) + seconds.get(CUT, 0.0)
    if waits:
        return f"mostly waiting for the disk of the images: --workers {2 * work.workers} reads more at once"
    if work.workers < work.cores:
        return f"--workers {work.cores} uses every core"
    return "all cores are at it; --shard I/N on several machines, or smaller image files"


def trunk_advice(work: Work, compute: Compute) -> str:
    """Tell what would make the trunk faster."""
    if compute.precision == "float32" and work.half:
        return f"--precision {'bfloat16' if compute.kind == 'cpu' else 'float16'} computes faster (in a new file)"
    if work.compiles and not compute.compiled and work.views >= PAYS_FROM.get(compute.kind, sys.maxsize):
        return "--compile makes it faster (in a new file)"
    if compute.kind == "cpu":
        return "a GPU (--device cuda, in a new file), or --shard I/N on several machines"
    return "--shard I/N on several GPUs"
