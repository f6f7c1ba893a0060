"""A sweep shared among the cards of a machine: one process a card trains passes of its own, into the same folders."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from amnet_common.commands import deferred_interrupt, say_above, say_wrong
from amnet_common.machine.devices import choose_device
from amnet_common.machine.memory import keep_freed_memory
from amnet_common.reporting import Reporter
from amnet_common.workers import Lost, Note, Tell, by_workers
from headtrain.cli.computing import Computing
from headtrain.cli.folds import with_lists
from headtrain.cli.placing import Placed
from headtrain.compute.kernels import Kernels
from headtrain.features.splits import split_subsets
from headtrain.heads.own import name_head
from headtrain.runs.log import Epoch
from headtrain.sweep.capacity import heads_that_fit
from headtrain.sweep.dividing import divided
from headtrain.sweep.passes import Pass, passes
from headtrain.sweep.room import Halved, Room
from headtrain.sweep.sweeping import Halving, SweepReport, sweep
from headtrain.training.planned import Setup


@dataclass(frozen=True)
class Share:
    """Hold what one process trains, and how; it goes to another process, and so has no open file.

    `counted`: passes are made anew of the heads of `plan`, as many as the memory of the card has room for. `arch`: the
    class of a head of one's own, as the user names it.
    """

    features: tuple[Path, ...]
    folds: int | None
    repeats: int | None
    begun: tuple[Path, ...]  # folders of runs that say how lists were dealt
    allow_missing: bool
    computing: Computing
    kernels: Kernels
    test: bool
    halving: int | None
    arch: str | None
    counted: bool
    plan: tuple[Pass, ...] = ()
    threads: int = 1


class Shared:
    """Train passes by a process for each of several devices, and remember who was lost."""

    def __init__(self, common: Share, devices: Sequence[str]) -> None:
        self.common, self.devices = common, devices
        self.given: list[Share] = []
        self.lost: dict[int, Lost] = {}
        self._ended: Counter[int] = Counter()  # heads that have come to their end, by process

    def train(self, plan: Sequence[Pass]) -> Generator[SweepReport]:
        """Train each part of the passes by a process of its own; yield what `sweep` yields in each.

        Ctrl-C, SIGTERM and SIGHUP stop them all, which keep the epochs that they have, before one is raised.
        """
        common = self.common
        parts = divided(plan, len(self.devices), bool(common.halving))
        computing = replace(common.computing, sharers=len(parts))
        threads = max(1, torch.get_num_threads() // len(parts))
        self.given = [
            replace(common, plan=(*part,), computing=replace(computing, device=device), threads=threads)
            for part, device in zip(parts, self.devices, strict=False)
        ]
        with (
            deferred_interrupt() as check_interrupt,
            contextlib.closing(by_workers(train_share, self.given, check_interrupt)) as told,
        ):
            yield from self.heard(told)

    def heard(self, told: Iterable[tuple[int, Any]]) -> Generator[SweepReport]:
        """Yield the reports of what processes tell, by their numbers; print their notes, remember who was lost."""
        for number, message in told:
            if isinstance(message, Lost):
                self.lost[number] = message
            elif isinstance(message, Note):
                say_above(f"{self.name(number)}: {message.text}", message.emit)
            else:
                self._ended[number] += not isinstance(message[1], Epoch | Halved)
                yield message

    def name(self, number: int) -> str:
        """Return how a process is called."""
        return f"process {number + 1} of {len(self.given)} ({self.given[number].computing.device})"

    def say_lost(self) -> int:
        """Print a line for each process that was lost, with how many heads it leaves; return the exit status then, or
        0 if none was.
        """
        for number, lost in sorted(self.lost.items()):
            heads = sum(len(one.planned) for one in self.given[number].plan)
            say_wrong(f"{self.name(number)}: {lost.why}; {heads - self._ended[number]} of its {heads} heads are left "
                      "for --resume")  # fmt: skip
        return max((lost.status for lost in self.lost.values()), default=0)

    def describe(self, points: int, splits: int, plan: Sequence[Pass]) -> str:
        """Describe how much a grid has to do, and by whom: configurations, splits, heads, processes."""
        by = f"by {len(self.devices)} processes on {', '.join(self.devices)}"
        return self.described(points, splits, plan, by, "process")

    def described(self, points: int, splits: int, plan: Sequence[Pass], by: str, one: str) -> str:
        """Describe how much there is to do, `by` whom; `one` of them is called so."""
        heads = sum(len(some.planned) for some in plan)
        passes_ = "" if self.common.counted else f" in {len(plan)} passes"
        few = f"; --halving compares all heads of a split, which one {one} trains" if self.common.halving else ""
        return f"{points} configurations on {splits} splits: {heads} heads{passes_}, {by}{few}"


def train_share(share: Share, tell: Tell) -> None:
    """Train the passes of a share, in the process that has it: tell what `sweep` yields. Raises as `sweep` does."""
    keep_freed_memory()
    torch.set_num_threads(share.threads)
    if share.arch:
        name_head(share.arch)
    computing, device = share.computing, choose_device(share.computing.device)
    with Reporter(quiet=True).speaking():  # the command has said how folds are dealt
        collection = with_lists(share.features, share.folds, share.repeats, share.begun)
    settings = share.plan[0].planned[0].config.training
    subsets = {split: split_subsets(collection, split, settings.data_seed, share.allow_missing, settings.select_on)
               for split in sorted({one.split for one in share.plan})}  # fmt: skip
    setups = {split: Setup(collection, of_split, split, device, computing.check, kernels=share.kernels, test=share.test)
              for split, of_split in subsets.items()}  # fmt: skip
    source_of, plan = Placed(collection, subsets, computing), share.plan
    if share.counted:
        first = plan[0].split  # its views lie there when heads are counted
        source_of(first, [one.config.training for some in plan if some.split == first for one in some.planned])
        runs = [(some.split, one) for some in plan for one in some.planned]
        plan = tuple(passes(runs, lambda config: heads_that_fit(config, device, computing.sharers)))
    halving = Halving(share.halving) if share.halving else None
    with contextlib.closing(sweep(setups, plan, halving, source_of, Room())) as reports:
        for report in reports:
            tell(report)
