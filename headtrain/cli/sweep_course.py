"""How a sweep goes: one bar over all heads, a line for each at its end."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from amnet_common.commands import printable, progress
from headtrain.runs.documents import Diverged, Result
from headtrain.runs.log import Epoch
from headtrain.sweep.room import Halved, NoRoom
from headtrain.sweep.sweeping import SweepReport
from headtrain.training.loop import Damaged, Pruned
from headtrain.training.planned import PlannedRun
from headtrain.training.tensorboard import EventLogs


def watch(reports: Iterable[SweepReport], total: int, out: Path, events: EventLogs | None) -> int:
    """Show one bar of `total` epochs over all heads, a line for each head at its end; return how many have no result
    though they were not pruned.
    """
    done: Counter[PlannedRun] = Counter()
    failed = 0
    with progress("sweep", total, "epochs") as bar:
        try:
            for planned, report in reports:
                if isinstance(report, Epoch):
                    bar.update(report.epoch - done[planned])
                    done[planned] = report.epoch
                    if events:
                        events.follow(planned.run)
                    continue
                if isinstance(report, Halved):
                    bar.write(printable(f"note: {describe_halved(report)}"), sys.stderr)
                    continue
                failed += isinstance(report, Diverged | Damaged | NoRoom)
                if events and not isinstance(report, Damaged | NoRoom):
                    events.end(planned.run)
                total -= planned.config.training.epochs - done[planned]
                bar.total = total
                bar.write(printable(f"{planned.run.parent.name} {planned.run.name}: {describe_end(report)}"))
        except KeyboardInterrupt as stop:
            raise type(stop)(f"{out} keeps its saved epochs; the same command with --resume goes on") from None
    return failed


def describe_halved(report: Halved) -> str:
    """Describe a pass that goes on in two."""
    return (f"no room for {report.heads} heads together ({report.why}): they go on from their saved epochs, at most "
            f"{report.most} together; a smaller --heads-per-pass or --batch-size, or --residency ram or disk, takes "
            "less")  # fmt: skip


def describe_end(report: Result | Pruned | Diverged | Damaged | NoRoom) -> str:
    """Describe how the training of a head ended."""
    if isinstance(report, Pruned):
        return f"pruned after epoch {report.epoch}"
    if isinstance(report, Diverged):
        return f"diverged: {report.why}"
    if isinstance(report, Damaged):
        return f"left out: {report.why}"
    if isinstance(report, NoRoom):
        return (f"left out: no room for it even alone ({report.why}); a smaller --batch-size takes less, or "
                "--residency ram or disk; --resume goes on")  # fmt: skip
    assert report.best, "a training has a best epoch"
    return f"val rho {report.best.val_rho:.4f} in epoch {report.best.epoch} of {report.epochs}"
