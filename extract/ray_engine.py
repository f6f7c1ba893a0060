"""An extraction shared among the workers of a Ray cluster: each task fills a block of rows."""

import bisect
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import numpy as np

from amnet_common.collection.layout import PENDING
from amnet_common.collection.writer import RowWriter
from amnet_common.commands import say_above
from amnet_common.errors import BegunAnewError
from amnet_common.ray_tasks import Cluster, Ended, Need
from amnet_common.workers import Lost, Note
from extract.compute import Compute, Hardware, default_workers
from extract.job import Job
from extract.pipeline import RowReport
from extract.ray_blocks import Block, Common, Rows, fill_block
from extract.sharing import Course, Share, row_ranges

BLOCK_BYTES = {"cpu": 2**30, "cuda": 2**33}  # features of a task, at most: minutes of work
TASKS_A_PLACE = 4  # so that none waits long for the last
MESSAGE_BYTES = 2**26  # rows that are sent together


def need_of(compute: Compute, workers: int | None, cluster: Cluster) -> Need:
    """Return what a task takes of a machine: a GPU with its part of the CPUs, or as many CPUs as there are threads."""
    if compute.kind == "cuda":
        return Need(workers or cluster.cpus_beside(1), 1)
    return Need(compute.threads)


def blocks_of(job: Job, kind: str, places: int, row_bytes: int) -> list[Block]:
    """Cut what a job leaves to do into blocks, for `places` tasks at once on devices of a `kind` (pure)."""
    todo = sorted({*job.rows, *job.redo})
    most = max(1, BLOCK_BYTES.get(kind, BLOCK_BYTES["cpu"]) // row_bytes)
    size = min(most, -(-len(todo) // (places * TASKS_A_PLACE)))
    ranges = row_ranges(todo, job.request.row_range, -(-len(todo) // size))
    missing = sorted(job.missing)
    return [
        Block(_within(job.rows, rows), _within(sorted(job.redo), rows), frozenset(_within(missing, rows)), rows)
        for rows in ranges
    ]


def _within(rows: Sequence[int], bounds: range) -> tuple[int, ...]:
    return (*rows[bisect.bisect_left(rows, bounds.start) : bisect.bisect_left(rows, bounds.stop)],)


class RayFilling:
    """Fill what a job leaves to do by tasks of a cluster; `workers`: of each, as asked for, or else `least` or more."""

    def __init__(
        self, job: Job, compute: Compute, workers: int | None, kept: str, cluster: Cluster, least: int = 1
    ) -> None:
        assert job.collection is not None
        self.job, self.collection, self.cluster = job, job.collection, cluster
        self.need = need_of(compute, workers, cluster)
        places = cluster.places(self.need)
        row_bytes = self.collection.view_bytes * self.collection.views
        self.blocks = blocks_of(job, compute.kind, max(1, sum(places)), row_bytes)
        request = replace(job.request, like=None, overwrite=False, precision=compute.precision)
        hardware = Hardware(device=compute.kind, batch_size=compute.batch_size, threads=compute.threads,
                            workers=workers or max(least, self.need.cpus if self.need.gpus else default_workers("cpu")),
                            compiled=compute.compiled)  # fmt: skip
        share = Share(request, (), (), frozenset(), request.row_range, hardware, self.collection.uuid,
                      max(places, default=1), kept)  # fmt: skip
        self.common = Common(share, os.stat(request.out).st_ino, self.collection.spec, self.collection.kernel_path,
                             self.collection.scales, max(1, MESSAGE_BYTES // row_bytes))  # fmt: skip

    def describe(self) -> str:
        """Describe how the work is given away."""
        places = sum(self.cluster.places(self.need))
        waits = "" if places else ": no machine of the cluster has as much now, and Ray waits for one"
        return f"{len(self.blocks)} blocks for Ray, {places} at once, each with {self.need}{waits}"

    def __call__(self, course: Course, check_interrupt: Callable[[], None]) -> Generator[RowReport, None, None]:
        """Yield each row once, as it is finished; what else tasks say goes to `course`. Raises what `check_interrupt`
        raises, and OutputError where the command itself cannot write.
        """
        course.processes = max(1, min(len(self.blocks), sum(self.cluster.places(self.need))))
        told = self.cluster.by_tasks(fill_block, self.common, self.blocks, self.need, check_interrupt)
        seen: set[int] = set()
        with contextlib.closing(told), Writing(self.job) as writing:
            for number, message in told:
                if isinstance(message, Rows):
                    writing.write(self.blocks[number], message)
                elif isinstance(message, Lost | Ended):
                    writing.end(self.blocks[number])
                    if isinstance(message, Lost):
                        course.lost[number] = message
                elif isinstance(message, Counter):
                    course.seconds += message
                elif isinstance(message, Note):
                    say_above(f"block {number + 1} of {len(self.blocks)}: {message.text}", message.emit)
                elif message.row not in seen:
                    seen.add(message.row)
                    yield message

    def lost_lines(self, course: Course, status: np.ndarray) -> list[str]:
        """Return a line for each reason why blocks were lost, with how many images are left; `status` (N,) of all rows
        now.
        """
        by_reason: dict[str, list[int]] = {}
        for number, lost in sorted(course.lost.items()):
            by_reason.setdefault(lost.why, []).append(number)
        lines = []
        for why, numbers in by_reason.items():
            rows = [row for number in numbers for row in self.blocks[number].all]
            left = int((status[rows] == PENDING).sum())
            which = f"block {numbers[0] + 1}" if len(numbers) == 1 else f"{len(numbers)} blocks"
            lines.append(f"{which} of {len(self.blocks)}: {why}; {left} of {len(rows)} images are left for the same "
                         "command")  # fmt: skip
        return lines


class Writing:
    """Write rows that workers send; those of a block are locked from its first rows to its end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._open: dict[range, RowWriter] = {}

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as closed:
            for writer in self._open.values():
                closed.push(writer)

    def write(self, block: Block, sent: Rows) -> None:
        """Write some rows of a block. Raises BusyError, BegunAnewError, OutputError."""
        if block.row_range not in self._open:
            self._open[block.row_range] = self._opened(block)
        writer = self._open[block.row_range]
        for row, image, boxes, features in zip(sent.rows.tolist(), sent.images, sent.boxes, sent.features, strict=True):
            writer.adopt(row, image, features, boxes)

    def end(self, block: Block) -> None:
        """Bring the rows of a block to the disk, and let go of them."""
        if writer := self._open.pop(block.row_range, None):
            with writer:
                pass

    def _opened(self, block: Block) -> RowWriter:
        path = self._job.request.out
        assert self._job.collection is not None
        writer = RowWriter(path, block.row_range.start, block.row_range.stop)
        with contextlib.ExitStack() as undo:
            undo.push(writer)
            if writer.uuid != self._job.collection.uuid:
                raise BegunAnewError(f"--out {path}: expected the collection {self._job.collection.uuid} that this "
                                     f"command has begun, found {writer.uuid}; run the command again")  # fmt: skip
            writer.undo(block.redo)
            undo.pop_all()
        return writer
