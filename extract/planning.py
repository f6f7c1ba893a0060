"""What an extraction will cost in bytes and hours, said before anyone spends them."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection.layout import SEGMENT, tables
from amnet_common.datasets.image_names import FileNames
from amnet_common.datasets.near_names import Index, did_you_mean, near_names
from amnet_common.datasets.records import encode_id
from amnet_common.errors import OutputError
from amnet_common.images import ignored_pillow_warnings
from extract.job import Job
from extract.pipeline import AHEAD, Cutter, RunTrunk, ahead

PROBE_SECONDS = 5.0
WORTH_TELLING = 60.0  # seconds: what bounds a shorter job is of no interest


@dataclass(frozen=True)
class Plan:
    """Describe the size of a job in images, views and bytes."""

    images: int  # to do
    views: int  # of each image
    feature_bytes: int  # of the images to do, as far as the file does not have them yet
    table_bytes: int  # of a new file's other tables
    free_bytes: int | None  # None: the file system does not say
    missing: str = ""  # which image files are not there

    @property
    def needed_bytes(self) -> int:
        """Return the number of bytes that the disk must still hold."""
        return self.feature_bytes + self.table_bytes

    @property
    def fits(self) -> bool:
        """Tell whether the disk has room for the job, as far as is known."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    def seconds(self, rate: float) -> float:
        """Return the seconds that the job takes at `rate` views/s."""
        return self.images * self.views / rate


def make_plan(job: Job) -> Plan:
    """Compute the size of a job, from the job and the disk of its file.

    Raises OutputError if the folder of the file does not exist.
    """
    request = job.request
    views, total = request.plan.views, len(request.dataset.ids)
    id_bytes = max(len(encode_id(id_)) for id_ in request.dataset.ids)
    sizes = tables(1, views, id_bytes, request.dtype, request.trunk.view_shape)
    row_bytes = {name: int(np.prod(shape)) * dtype.itemsize for name, (shape, dtype) in sizes.items()}
    features = len(job.rows) * row_bytes[SEGMENT]
    others = total * (sum(row_bytes.values()) - row_bytes[SEGMENT])
    if job.collection:  # rows that are done again have their place on the disk
        features, others = min(features, unwritten_bytes(request.out)), 0
    return Plan(job.images, views, features, others, free_bytes(request.out, request.overwrite), missing_line(job))


def missing_line(job: Job) -> str:
    """Tell how many images of a job have no file, with an example; empty if all have one."""
    if not job.missing:
        return ""
    dataset = job.request.dataset
    id_ = dataset.ids[min(job.missing)]
    names = FileNames(dataset.image_root).names if len(job.missing) < len(job.rows) else ()
    meant = did_you_mean(id_, near_names([id_], Index(names)), names)
    return f"{len(job.missing)} of {job.images} images have no file below {dataset.image_root}, such as {id_!r}{meant}"


def unwritten_bytes(path: Path) -> int:
    """Return how many bytes a sparse file can still grow on the disk."""
    found = path.stat()
    return max(0, found.st_size - found.st_blocks * 512)


def free_bytes(out: Path, overwrite: bool) -> int | None:
    """Return the free bytes of the disk that a file is or would be on; None if the file system does not say.

    With `overwrite` the file itself is thrown away, and what it takes is free too. Raises OutputError if its folder
    does not exist.
    """
    try:
        taken = out.stat().st_blocks * 512 if overwrite and out.exists() else 0
        usage = shutil.disk_usage(out.parent)
    except OSError as error:
        raise OutputError(f"--out {out}: expected an existing folder, found none: {error.strerror}") from error
    return usage.free + taken if usage.total else None  # some network file systems answer with zeros


def refuse_full_disk(plan: Plan, out: Path) -> None:
    """Raise OutputError if the disk cannot hold what is to do."""
    if plan.free_bytes is not None and not plan.fits:
        raise OutputError(f"--out {out}: expected {plan.needed_bytes / 1e9:.2f} GB for {plan.images} images of "
                          f"{plan.views} views, found {plan.free_bytes / 1e9:.2f} GB free; --dtype uint8 takes half of "
                          "float16, --shard I/N with an --out on another disk a part")  # fmt: skip


def probe_rate(trunk: RunTrunk, batch_size: int, size: int = 224) -> float:
    """Measure the trunk's views/s on noise of `size` pixels, which costs the same as pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), np.uint8)
    trunk(pixels).result()  # the first batch also makes buffers and chooses or compiles kernels
    batches, started, last = 1, time.perf_counter(), trunk(pixels)
    while time.perf_counter() - started < PROBE_SECONDS:
        under_way, last = last, trunk(pixels)  # one ahead, as the extraction is
        under_way.result()
        batches += 1
    last.result()
    return batches * batch_size / (time.perf_counter() - started)


def probe_pictures(cutter: Cutter, rows: Sequence[int], workers: int) -> float:
    """Measure how many views/s so many threads read, decode and cut, from images of these rows in random order, as the
    first ones may be unlike the others; infinite if none of them can be read.
    """
    order = np.random.default_rng(0).permutation(np.array(rows, np.int64)).tolist()
    views, started, passed = 0, time.perf_counter(), 0.0
    with ignored_pillow_warnings(), ThreadPoolExecutor(workers, "decode") as pool:
        for cut in ahead(pool, cutter, order, workers + AHEAD):
            views += 0 if cut.pixels is None else len(cut.pixels)
            passed = time.perf_counter() - started
            if passed >= PROBE_SECONDS:
                break
    return views / passed if views else math.inf


@dataclass(frozen=True)
class Rates:
    """Hold views/s of the trunk and of reading and cutting pictures, which run beside each other."""

    trunk: float
    pictures: float = math.inf
    workers: int = 0  # that read and cut

    @property
    def slower(self) -> float:
        """Return the rate that an extraction has."""
        return min(self.trunk, self.pictures)

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' * (self.workers > 1)}"
        return (
            f"pictures, of which {workers} read and cut {self.pictures:.1f} views/s; the trunk takes {self.trunk:.1f}"
        )


def plan_lines(plan: Plan, dtype: str, out: Path, rates: Rates, hardware: str) -> Iterator[str]:
    """Yield the lines that --dry-run prints."""
    enough = "enough" if plan.fits else "NOT ENOUGH"
    free = f"{plan.free_bytes} ({plan.free_bytes / 1e9:.2f} GB): {enough}" if plan.free_bytes is not None else "unknown"
    yield f"images     {plan.images}"
    if plan.missing:
        yield f"missing    {plan.missing}"
    yield f"views      {plan.images * plan.views}, {plan.views} an image"
    yield f"bytes      {plan.needed_bytes} ({plan.needed_bytes / 1e9:.2f} GB) of {dtype} and tables for {out}"
    yield f"free disk  {free}"
    yield f"speed      {rates.slower:.1f} views/s, probed: {hardware}"
    if rates.pictures < rates.trunk and plan.seconds(rates.slower) >= WORTH_TELLING:
        yield f"limit      {rates}"
    yield f"time       about {duration(plan.seconds(rates.slower))}"


def duration(seconds: float) -> str:
    """Return a time in seconds as text, in its two largest units at most: `3 h 20 min`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
