"""How an extraction went, in the lines that its command ends with."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, FAILED, PENDING
from amnet_common.commands import say, say_done, say_wrong
from amnet_common.commands import summary as facts
from amnet_common.images.colours import CONVERTED, IGNORED
from extract.job import Job

if TYPE_CHECKING:
    from extract.pipeline import RowReport  # which loads torch

MOST_NAMED = 20  # failed images named at the end; amnet-cache info --failed names all


def finish(job: Job, reports: list["RowReport"], seconds: float) -> int:
    """Name what failed, print the last line, and return the exit status: 1 if rows of the command have failed."""
    request, failed = job.request, [report for report in reports if report.error]
    for report in failed[:MOST_NAMED]:
        say_wrong(f"failed: {request.dataset.ids[report.row]}: {report.error}")
    if len(failed) > MOST_NAMED:
        say_wrong(f"... and {len(failed) - MOST_NAMED} more; all: amnet-cache info --failed {request.out}")
    for line in notes(job):
        say(line, err=True)
    assert job.collection is not None
    if job.images:
        job.collection.refresh()  # with what other processes have filled meanwhile
    done = [report for report in reports if not report.error]
    say_done(summary(job, job.collection, len(done), seconds) + profiles(done))
    marks = status_in_range(job, job.collection)
    facts(request.out, images=len(marks), done=int((marks == DONE).sum()), done_now=len(done),
          failed=int((marks == FAILED).sum()), failed_now=len(failed),
          pending=int((job.collection.status == PENDING).sum()), bytes=request.out.stat().st_size)  # fmt: skip
    return 1 if (marks == FAILED).any() else 0


def status_in_range(job: Job, collection: Collection) -> np.ndarray:
    """Return the status (n,) uint8 of the rows that the command may fill."""
    row_range = job.request.row_range
    return collection.status[row_range.start : row_range.stop]


def notes(job: Job) -> Iterable[str]:
    """Yield what a user may want to do next."""
    if job.changes.gone:
        yield f"note: {job.changes.gone} image files cannot be read any more; their features stay good"
    if job.failed and job.changes.failed and not job.request.update:
        yield f"note: {len(job.changes.failed)} of the failed images have other files now; --update tries these again"
    elif job.failed:
        yield f"note: {job.failed} images failed before; --retry-failed tries them again"


def summary(job: Job, collection: Collection, done_now: int, seconds: float) -> str:
    """Return the last line: images done and failed of the rows asked for, pending in the file, views/s, file size."""
    request, path = job.request, job.request.out
    done, failed = (int((status_in_range(job, collection) == mark).sum()) for mark in (DONE, FAILED))
    pending = int((collection.status == PENDING).sum())
    what = f"{done_now * request.plan.views / seconds:.1f} views/s" if job.images else "nothing to do"
    return (f"{path}: {done} images done ({done_now} now), {failed} failed, {pending} pending, {what}, "
            f"{path.stat().st_size / 1e9:.2f} GB{clipping(collection)}")  # fmt: skip


def profiles(reports: Iterable["RowReport"]) -> str:
    """Tell how many images were converted to sRGB now, and of how many the profile was ignored; empty for none."""
    counts = Counter(report.profile for report in reports)
    texts = {CONVERTED: "converted to sRGB", IGNORED: "with a colour profile that is of no use"}
    return "".join(f", {counts[outcome]} {text}" for outcome, text in texts.items() if counts[outcome])


def clipping(collection: Collection) -> str:
    """Tell how many values a uint8 collection has clipped; empty for others."""
    if collection.spec.dtype != "uint8":
        return ""
    return f", {int(collection.images['clipped'].sum(dtype='int64'))} values clipped"
