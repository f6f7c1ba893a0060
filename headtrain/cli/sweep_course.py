"""How a sweep goes: one bar over all heads, a line for each at its end."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amnet_common.commands import progress, say_above, say_done
from headtrain.runs.documents import Diverged, Result
from headtrain.runs.log import Epoch
from headtrain.sweep.room import Halved, NoRoom
from headtrain.sweep.sweeping import SweepReport
from headtrain.training.loop import Damaged, Pruned
from headtrain.training.planned import PlannedRun
from headtrain.training.tensorboard import EventLogs


@dataclass
class Ended:
    """Count the heads that have come to their end now: all, those without a result, and those that were pruned."""

    heads: int = 0
    failed: int = 0
    pruned: int = 0


def watch(reports: Iterable[SweepReport], total: int, out: Path, events: EventLogs | None) -> Ended:
    """Show one bar of `total` epochs over all heads, a line for each head at its end; return how they have ended."""
    done: Counter[PlannedRun] = Counter()
    ended = Ended()
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
                    say_above(f"note: {describe_halved(report)}")
                    continue
                failed = isinstance(report, Diverged | Damaged | NoRoom)
                ended.heads += 1
                ended.failed += failed
                ended.pruned += isinstance(report, Pruned)
                if events and not isinstance(report, Damaged | NoRoom):
                    events.end(planned.run)
                total -= planned.config.training.epochs - done[planned]
                bar.total = total
                line = f"{planned.run.parent.name} {planned.run.name}: {describe_end(report)}"
                say_above(line, partial(say_done, wrong=failed))
        except KeyboardInterrupt as stop:
            raise type(stop)(f"{out} keeps its saved epochs; the same command with --resume goes on") from None
    return ended


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
