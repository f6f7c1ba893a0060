"""An extraction shared among the cards of a machine: one process a card fills rows of its own of the same file.

The file is made before they begin. The views of a row have the same bits whichever process computes them.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from amnet_common.collection import Collection
from amnet_common.collection.layout import PENDING
from amnet_common.commands import say_above
from amnet_common.errors import BegunAnewError, ConfigError
from amnet_common.workers import Lost, Note, Tell, by_workers
from extract.clock import Clock
from extract.compute import Compute, Hardware
from extract.job import Job
from extract.opening import Tools, load_tools, open_job
from extract.pipeline import Cutter, Filling, RowReport, extract_rows
from extract.ready import made_ready
from extract.request import Request
from extract.room import memory_explained


@dataclass(frozen=True)
class Share:
    """Hold what one process fills: rows, those to be filled again, and the range that it locks; on what, of which file.

    It goes to another process, and so has no open file.
    """

    request: Request
    rows: tuple[int, ...]
    redo: tuple[int, ...]
    missing: frozenset[int]
    row_range: range
    hardware: Hardware
    uuid: str
    of: int  # shares, that share the memory for decoding too
    kept: str  # what becomes of the rows that are finished


@dataclass
class Course:
    """Remember what was said beside rows: the seconds of each stage, added up over `processes`, and who was lost."""

    seconds: Counter[str] = field(default_factory=Counter)
    lost: dict[int, Lost] = field(default_factory=dict)
    processes: int = 1


def row_ranges(rows: Sequence[int], whole: range, count: int) -> list[range]:
    """Cut a range of rows so that each part has as many of `rows`, ascending, as the others or one less (pure)."""
    cuts = [len(rows) * part // count for part in range(1, count)]
    bounds = [whole.start, *(rows[cut] if cut < len(rows) else whole.stop for cut in cuts), whole.stop]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


def shares(job: Job, compute: Compute, devices: Sequence[str], workers: int, kept: str) -> list[Share]:
    """Cut what a job leaves to do into shares of the devices; each computes as `compute` does, and none gets nothing.

    `workers`: that decode, of each.
    """
    assert job.collection is not None
    todo = sorted({*job.rows, *job.redo})
    request = replace(job.request, like=None, overwrite=False, precision=compute.precision)
    devices = devices[: len(todo)]
    hardware = Hardware(
        batch_size=compute.batch_size, threads=compute.threads, workers=workers, compiled=compute.compiled
    )
    return [
        Share(
            request,
            tuple(row for row in job.rows if row in rows),
            tuple(row for row in job.redo if row in rows),
            frozenset(row for row in job.missing if row in rows),
            rows,
            replace(hardware, device=device),
            job.collection.uuid,
            len(devices),
            kept,
        )
        for device, rows in zip(devices, row_ranges(todo, request.row_range, len(devices)), strict=True)
    ]


def fill_shares(
    given: Sequence[Share], course: Course, check_interrupt: Callable[[], None]
) -> Generator[RowReport, None, None]:
    """Fill every share by a process of its own; yield rows as they are finished.

    What else they say goes to `course`. Raises what `check_interrupt` raises, when all have stopped.
    """
    course.processes = len(given)
    with contextlib.closing(by_workers(fill_share, given, check_interrupt)) as told:
        for number, message in told:
            if isinstance(message, Lost):
                course.lost[number] = message
            elif isinstance(message, Counter):
                course.seconds += message
            elif isinstance(message, Note):
                say_above(f"{name_of(given, number)}: {message.text}", message.emit)
            else:
                yield message


def fill_share(share: Share, tell: Tell) -> None:
    """Fill a share, in the process that has it: tell each row, and at the end the seconds of every stage.

    Raises as `extract_rows`, and what makes a device unfit to go on with the file.
    """
    job = job_of(share, Collection(share.request.out))
    tools = load_tools(job, share.hardware)
    job = open_job(job, tools)
    tools, clock = made_ready(tools, job), Clock()
    with contextlib.closing(filled(share, tools, clock)) as reports:
        for report in reports:
            tell(report)
    tell(Counter(clock.seconds))


def job_of(share: Share, collection: Collection) -> Job:
    """Return the job of a share, of the collection that it names. Raises BegunAnewError if another is there by now."""
    if collection.uuid != share.uuid:
        raise BegunAnewError(f"--out {share.request.out}: expected the collection {share.uuid} that this command has "
                             f"begun, found {collection.uuid}; run the command again")  # fmt: skip
    return Job(share.request, collection, share.rows, share.redo, missing=share.missing)


def filled(share: Share, tools: Tools, clock: Clock) -> Generator[RowReport, None, None]:
    """Fill the rows of a share; yield and raise as `extract_rows`. `clock` gets the time of every stage."""
    batch, request = tools.compute.batch_size, share.request
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits, clock, sharers=share.of)
    filling = Filling(request.out, share.rows, share.row_range, share.redo, tools.compute.kernel_path(), share.uuid,
                      share.missing)  # fmt: skip
    reports = extract_rows(filling, cutter, tools.trunk, batch, share.hardware.workers or 1)
    with contextlib.closing(reports), memory_explained(batch, share.kept):
        yield from reports


def name_of(given: Sequence[Share], number: int) -> str:
    """Return how the process of a share is called."""
    return f"process {number + 1} of {len(given)} ({given[number].hardware.device})"


def lost_lines(given: Sequence[Share], course: Course, status: np.ndarray) -> list[str]:
    """Return a line for each process that was lost, with how many images it leaves; `status` (N,) of all rows now."""
    lines = []
    for number, lost in sorted(course.lost.items()):
        rows = [*given[number].rows, *given[number].redo]
        left = int((status[rows] == PENDING).sum())
        lines.append(f"{name_of(given, number)}: {lost.why}; {left} of its {len(rows)} images are left for the same "
                     "command")  # fmt: skip
    return lines


def refuse_unlike_cards(devices: Sequence[str], allowed: bool) -> None:
    """Raise ConfigError for cards that compute other last bits, unless that is `allowed`."""
    names: dict[str, Any] = {one: torch.cuda.get_device_name(one) for one in devices if one.startswith("cuda")}
    if len({*names.values()}) > 1 and not allowed:
        found = ", ".join(f"{name} ({device})" for device, name in names.items())
        raise ConfigError(f"--devices: expected cards of one kind, as the last bits of features differ, found {found}; "
                          "name those of one kind, or say --allow-other-kernels")  # fmt: skip
