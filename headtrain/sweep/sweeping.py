"""A sweep: its passes one after another, heads that are finished or pruned left out."""

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from amnet_common.errors import DamagedRunError
from headtrain.evaluation.metrics import ordering_key
from headtrain.features.batches import Source
from headtrain.runs.documents import Diverged, Result, read_begun, read_diverged, read_result
from headtrain.runs.folder import PRUNED, RESULT, RUN
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import TrainingConfig
from headtrain.sweep.halving import is_rung, losers
from headtrain.sweep.passes import Pass
from headtrain.sweep.room import Halved, NoRoom, Room, trained_in_room
from headtrain.training.loop import Choose, Damaged, Pruned, prune_none, train_together
from headtrain.training.member import Member
from headtrain.training.planned import PlannedRun, Setup, refuse_unfitting

SourceOf = Callable[[int, Sequence[TrainingConfig]], Source]


class Halving:
    """Remember what has been seen at each rung of each split, for heads that come there later, in other passes."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._seen: dict[tuple[int, int], dict[Path, float]] = {}  # by split and epoch, of each run

    def of_split(self, split: int) -> Choose:
        """Return what `train_together` asks after each epoch of a split."""

        def prune(members: Sequence[Member]) -> list[Member]:
            going = {n: best_rho(member) for n, member in enumerate(members) if not member.finished}
            epoch = len(members[0].epochs)
            if not going or not is_rung(epoch, self.factor):
                return []
            seen = self._seen.setdefault((split, epoch), {})
            now = {members[n].planned.run: rho for n, rho in going.items()}  # a resumed head may come here again
            lost = losers(going, [rho for run, rho in seen.items() if run not in now], self.factor)
            seen.update(now)
            return [members[n] for n in sorted(lost)]

        return prune


def best_rho(member: Member) -> float:
    """Return the highest validation rho of a member so far."""
    return max((epoch.val_rho for epoch in member.epochs), key=ordering_key)


SweepReport = tuple[PlannedRun, "Epoch | Result | Pruned | Diverged | Damaged | Halved | NoRoom"]


def sweep(
    setups: Mapping[int, Setup],
    plan: Sequence[Pass],
    halving: Halving | None = None,
    source_of: SourceOf | None = None,
    room: Room | None = None,
) -> Generator[SweepReport]:
    """Train every pass, resuming runs that were stopped; `setups` by split. Yields and raises as
    `train_together`; a run whose files are damaged is reported and left out. A pass that runs out of memory is halved
    and goes on from the epochs that are saved; `room` remembers how far, from one call to the next.

    `source_of(split, settings)`: what the passes of a split read from, asked for when its first one begins.
    """
    room = room or Room()
    for one in plan:
        for planned in one.planned:
            refuse_unfitting(planned.config, setups[one.split].collection)
    for split, group in itertools.groupby(plan, key=lambda one: one.split):
        of_split = [*group]
        settings = [planned.config.training for one in of_split for planned in one.planned]
        yield from sweep_split(  # nothing here keeps the source: its memory is wanted for that of the next split
            replace(setups[split], source=source_of(split, settings) if source_of else None, resume=True),
            of_split,
            halving.of_split(split) if halving else None,
            room,
        )


def sweep_split(setup: Setup, plan: Sequence[Pass], prune: Choose | None, room: Room) -> Generator[SweepReport]:
    """Train the passes of one split; `prune`: at the rungs of a halving, if there is one."""
    for one in plan:
        whole: list[PlannedRun] = []
        for planned in one.planned:
            if why := damage_of(planned.run):
                yield planned, Damaged(why)
            elif not (prune and (planned.run / PRUNED).exists()):
                whole.append(planned)
        train = partial(train_together, setup, prune=prune or prune_none)
        yield from trained_in_room(whole, room, train, setup.device)


def damage_of(run: Path) -> str:
    """Say what is wrong with the files of a run that was begun; empty if nothing is, or none was begun."""
    try:
        if (run / RUN).exists():
            read_begun(run)
        if (run / RESULT).exists():
            read_result(run)
        read_diverged(run)
    except DamagedRunError as error:
        return str(error)
    return ""
