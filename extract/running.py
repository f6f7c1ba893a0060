"""An extraction carried out: the file made or resumed, its rows filled here, by one process a card or by a cluster, how
it went.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from amnet_common.collection.layout import PENDING
from amnet_common.commands import deferred_interrupt, say, say_wrong
from amnet_common.machine.memory import release
from amnet_common.machine.threads import usual_threads
from amnet_common.progress import Progress
from amnet_common.ray_tasks import Cluster
from amnet_common.remote import is_remote
from extract.breakdown import Work, breakdown
from extract.compute import Compute, Hardware, default_workers
from extract.job import Job
from extract.opening import load_tools, open_job
from extract.pipeline import Cutter, Filling, RowReport, extract_rows
from extract.planning import Rates, make_plan, missing_line, plan_lines, probe_pictures, probe_rate, refuse_full_disk
from extract.ray_engine import RayFilling
from extract.ready import made_ready
from extract.room import memory_explained
from extract.sharing import Course, fill_shares, lost_lines, refuse_unlike_cards, shares
from extract.summary import finish

REMOTE_WORKERS = 16  # requests to a store under way: some 300 images/s where each takes 50 ms
MakeBar = Callable[[str, int, str], Progress]  # what, how many, of what: `amnet_common.commands.progress`


def print_plan(job: Job, hardware: Hardware, devices: Sequence[str]) -> int:
    """Print what --dry-run promises of these devices together; return the exit status 0."""
    request, count = job.request, len(devices)
    hardware = one_of(hardware, job, count)
    tools = made_ready(load_tools(job, hardware), job)
    workers = hardware.workers or usual_workers(job, tools.compute, count)
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits, sharers=count)
    rate = probe_rate(tools.trunk, tools.compute.batch_size, request.plan.size)
    there = sorted({*job.rows, *job.redo} - job.missing)
    rates = Rates(rate * count, probe_pictures(cutter, there, workers) * count, workers * count)
    for line in plan_lines(make_plan(job), request.dtype, request.out, rates, tools.describe() + beside(devices)):
        say(line)
    return 0


def run(
    job: Job,
    hardware: Hardware,
    devices: Sequence[str],
    bar: MakeBar,
    begun: Callable[[Job], object] = lambda _: None,
    cluster: Cluster | None = None,
) -> int:
    """Create or resume the collection, fill its rows, say how it went, and return the exit status.

    Of several devices each has a process, and `hardware` names the first. `begun` gets the job once its file is there,
    before the first row. `cluster`: whose workers fill the rows.
    """
    request, count = job.request, len(devices)
    refuse_unlike_cards(devices, request.allow_other_kernels)
    hardware = one_of(hardware, job, count)
    tools = load_tools(job, hardware)
    again = "the same command without --overwrite" if request.overwrite else "the same command again"
    refuse_full_disk(make_plan(job), request.out)
    new = job.collection is None
    if new:
        tools = made_ready(tools, job)  # before a file says that it is computed so
    job = open_job(job, tools)
    begun(job)
    say_aside(f"{request.out}: {job.images} of {len(request.dataset.ids)} images to do, {request.plan.views} views "
              f"each; {tools.describe()}{beside(devices)}")  # fmt: skip
    if not job.images:
        return finish(job, [], 0.0)
    if job.missing:
        say_aside(f"note: {missing_line(job)}; they will fail")
    if not new and count == 1 and not cluster:
        tools = made_ready(tools, job)
    compute, course = tools.compute, Course()
    workers = hardware.workers or usual_workers(job, compute, count)
    kept = f"{request.out} keeps what is finished; {again} goes on from there"
    started = time.monotonic()
    assert job.collection is not None
    with deferred_interrupt() as check_interrupt:
        if count == 1 and not cluster:
            cutter = Cutter(request.dataset, request.plan, request.seed, request.limits)
            filling = Filling(request.out, job.rows, request.row_range, job.redo, compute.kernel_path(),
                              job.collection.uuid, job.missing)  # fmt: skip
            reports = extract_rows(filling, cutter, tools.trunk, compute.batch_size, workers, check_interrupt)
            with contextlib.closing(reports), memory_explained(compute.batch_size, kept):
                seen = _watch(reports, job, kept, bar)
            course.seconds.update(cutter.clock.seconds)
        else:
            del tools
            release(compute.device)  # the process of this card wants it
            if cluster:
                least = REMOTE_WORKERS if is_remote(request.dataset.image_root) else 1
                blocks = RayFilling(job, compute, hardware.workers, kept, cluster, least)
                say_aside(blocks.describe())
                told, lines_of = blocks(course, check_interrupt), partial(blocks.lost_lines, course)
            else:
                given = shares(job, compute, devices, workers, kept)
                told, lines_of = fill_shares(given, course, check_interrupt), partial(lost_lines, given, course)
            with contextlib.closing(told):
                seen = _watch(told, job, kept, bar)
            job.collection.refresh()
            status = job.collection.status
            seen = [report for report in seen if status[report.row] != PENDING]  # its mark is lost with who was killed
            for line in lines_of(status):
                say_wrong(line)
    elapsed = time.monotonic() - started
    say_breakdown(job, seen, course, elapsed, compute, workers)
    return max([finish(job, seen, elapsed), *(lost.status for lost in course.lost.values())])


def usual_workers(job: Job, compute: Compute, count: int) -> int:
    """Return the number of decoding threads of each of `count` processes; more where they mostly wait for a store."""
    usual = default_workers(compute.kind, count)
    return max(usual, REMOTE_WORKERS) if is_remote(job.request.dataset.image_root) else usual


def say_aside(text: object) -> None:
    """Print a line on stderr."""
    say(text, err=True)


def beside(devices: Sequence[str]) -> str:
    """Return what is said of several devices behind the first; nothing of one alone."""
    return f"; {len(devices)} processes, on {', '.join(devices)}" if len(devices) > 1 else ""


def one_of(hardware: Hardware, job: Job, count: int) -> Hardware:
    """Return what one of `count` processes is to ask of the machine: of a CPU, its part of the threads, unless the
    command or the file says how many.
    """
    if count == 1 or hardware.threads or hardware.device != "cpu" or job.collection or job.request.like:
        return hardware
    return replace(hardware, threads=max(1, usual_threads() // count))


def say_breakdown(
    job: Job, seen: Sequence[RowReport], course: Course, elapsed: float, compute: Compute, workers: int
) -> None:
    """Print where the time went, if anything was done; `workers` of each process, `elapsed` seconds."""
    if done := sum(not report.error for report in seen):
        request = job.request
        work = Work.on_this_machine(done, request.plan.views, request.dtype, workers, compute, request.trunk)
        work = replace(work, cores=max(1, work.cores // course.processes))
        say_aside(breakdown(course.seconds, elapsed * course.processes, work, compute))


def _watch(reports: Iterable[RowReport], job: Job, if_stopped: str, make_bar: MakeBar) -> list[RowReport]:
    """Show progress in views/s and time left; the reports."""
    seen, failed, views = [], 0, job.request.plan.views
    try:
        with make_bar("extract", (job.images - len(job.missing)) * views, "views") as bar:
            for report in reports:
                bar.update(0 if report.row in job.missing else views)
                seen.append(report)
                if report.error:
                    failed += 1
                    bar.set_postfix(failed=failed, refresh=False)
    except KeyboardInterrupt as stop:
        raise type(stop)(if_stopped) from None
    return seen
