"""Heads of one split trained together, each stopped early by validation, each tested once with its best checkpoint."""

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from amnet_common.errors import DamagedRunError
from amnet_common.files import write_json
from amnet_common.only_writer import only_writer
from headtrain.compute.bank.grouping import may_train_together
from headtrain.evaluation.metrics import evaluate
from headtrain.features.statistics import Statistics, channel_statistics
from headtrain.runs.documents import Diverged, Result, read_diverged, read_result, write_diverged
from headtrain.runs.folder import PRUNED, STATE
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import Config
from headtrain.training.epoch import predict_subset, train_epoch
from headtrain.training.member import Member, begin, resume
from headtrain.training.outcome import drop_state, finish, predict_test
from headtrain.training.pace import Pace
from headtrain.training.planned import PlannedRun, Setup, Standing, standings
from headtrain.training.team import Team

Report = tuple[PlannedRun, "Epoch | Result | Pruned | Diverged | Damaged"]


@dataclass(frozen=True)
class Pruned:
    """Report a head that was pruned after this epoch; it is not tested."""

    epoch: int


@dataclass(frozen=True)
class Damaged:
    """Report a run whose files cannot be read: the others go on without it."""

    why: str


BLIND = "predictions are the same for every validation image, in every epoch: nothing was learnt"
TO_TRAIN = (Standing.ABSENT, Standing.UNFINISHED)
Choose = Callable[[Sequence[Member]], Sequence[Member]]  # of the members after an epoch, those to prune


def prune_none(members: Sequence[Member]) -> Sequence[Member]:  # noqa: ARG001 - one of several ways to choose
    """Prune no member."""
    return []


def train(setup: Setup, config: Config, run: Path) -> Generator[Epoch, None, Result | Diverged]:
    """Train one head into the folder `run`: yields each epoch when it is in the log, returns how it ended.

    It is `train_together` of one, and raises as that does; DamagedRunError for a state that cannot be read.
    """
    for _, report in train_together(setup, [PlannedRun(config, run)]):
        if isinstance(report, Result | Diverged):
            return report
        if isinstance(report, Damaged):
            raise DamagedRunError(report.why)
        if isinstance(report, Epoch):
            yield report
    raise AssertionError("a training ends with its result")


def train_together(setup: Setup, planned: Sequence[PlannedRun], prune: Choose = prune_none) -> Generator[Report]:
    """Train heads that fit in one bank: yields (planned, epoch) when it is in the log, and at a head's end its result,
    or that it was pruned, has diverged, or has a damaged state from which it cannot be resumed.

    `prune` is asked after each epoch. Raises as `standings` does, before any folder is made; BusyError if another
    command trains into one of the folders, OutputError if one cannot be written, CollectionError for damaged features.
    """
    assert may_train_together(one.config for one in planned)
    with contextlib.ExitStack() as held:
        for one in planned:
            held.enter_context(only_writer(one.run, make_folders=True))
        found = [*zip(planned, standings(setup, planned), strict=True)]
        for one, standing in found:
            if standing not in TO_TRAIN:
                drop_state(one.run)  # of a kill between the end and its removal
            if standing is Standing.FINISHED:
                yield one, read_result(one.run)
            if standing is Standing.DIVERGED and (diverged := read_diverged(one.run)):
                yield one, diverged
        of_epoch = yield from begun_members(setup, [pair for pair in found if pair[1] in TO_TRAIN])
        for done in sorted(of_epoch):
            yield from train_bank(of_epoch.pop(done), setup, prune)  # which alone has them: who leaves is freed


def begun_members(
    setup: Setup, planned: Sequence[tuple[PlannedRun, Standing]]
) -> Generator[Report, None, dict[int, list[Member]]]:
    """Return the members of planned runs by the epochs that they have: a bank is in one, and a kill may part them.

    Yields runs that cannot be resumed.
    """
    statistics = statistics_for(setup, [one.config for one, _ in planned])
    of_epoch: dict[int, list[Member]] = {}
    for one, standing in planned:
        try:
            member = (begin if standing is Standing.ABSENT else resume)(setup, one, statistics)
        except DamagedRunError as error:
            yield one, Damaged(str(error))
        else:
            of_epoch.setdefault(len(member.epochs), []).append(member)
    return of_epoch


def statistics_for(setup: Setup, configs: Sequence[Config]) -> Statistics | None:
    """Compute the statistics of the training images' channels, if a configuration asks for them; None if none does."""
    asked = any(config.head.standardise for config in configs)
    return channel_statistics(setup.collection, setup.subsets.train.rows) if asked else None


def train_bank(members: list[Member], setup: Setup, prune: Choose) -> Generator[Report]:
    """Train until every member is finished or pruned; it then leaves the team and the bank, which frees its memory.

    `members` is emptied: nothing outside the team holds one.
    """
    team, pace = Team(members, setup), Pace()
    members.clear()
    try:
        while team.going:
            if leaving := team.leave([member.finished for member in team.going]):
                yield from finish_each(leaving, setup)
            if team.going:
                reports = one_epoch(team, setup)
                save_at_pace(team.going, pace)
                yield from reports
                if leaving := team.leave([bool(member.diverged) for member in team.going]):
                    yield from diverge_each(leaving)
                pruned = chosen(team.going, prune)
                if any(pruned):
                    save_all(team.going)  # resumed, those who go on must not come to this rung again
                    yield from prune_each(team.leave(pruned))
    except GeneratorExit:  # between two epochs: nothing of what was trained is lost
        save_all(team.going)
        raise


def chosen(members: Sequence[Member], prune: Choose) -> list[bool]:
    """Tell of each member whether it is to be pruned."""
    lost = prune(members) if members else []
    return [any(member is one for one in lost) for member in members]


def finish_each(members: list[Member], setup: Setup) -> Generator[Report]:
    """Save and test members that are finished, all at once, and let go of each when it has been reported."""
    save_all(members)
    tested = [member.planned.run for member in members if setup.test and not member.blind]
    found = predict_test(tested, setup, members[0].config.training.eval_view)
    predicted = dict(zip(tested, found, strict=True))
    while members:
        planned, member = members[0].planned, members.pop(0)
        ended = diverge(member, BLIND) if member.blind else finish(member, setup, predicted.get(planned.run))
        del member
        yield planned, ended


def diverge_each(members: list[Member]) -> Generator[Report]:
    """Mark members that diverged, and let go of each when it has been reported."""
    while members:
        report = members[0].planned, diverge(members[0], members.pop(0).diverged)
        yield report


def diverge(member: Member, why: str) -> Diverged:
    """Say in its folder that the training of a member cannot go on, or was in vain."""
    found = Diverged(len(member.epochs), why)
    write_diverged(member.planned.run, found)
    (member.planned.run / STATE).unlink(missing_ok=True)
    return found


def prune_each(members: list[Member]) -> Generator[Report]:
    """Prune saved members, and let go of each when it has been reported."""
    while members:
        report = members[0].planned, prune_member(members.pop(0))
        yield report


def save_all(members: Sequence[Member]) -> None:
    """Save each member, unless all of it is on the disk already. Raises OutputError."""
    for member in members:
        member.save()


def save_at_pace(members: Sequence[Member], pace: Pace) -> None:
    """Save the members if it is due: on a GPU an epoch may take less time than its state takes to be written."""
    if pace.due:
        with pace.kept():
            save_all(members)


def prune_member(member: Member) -> Pruned:
    """Write into a member's folder that it is pruned. Raises OutputError."""
    found = Pruned(len(member.epochs))
    write_json(member.planned.run / PRUNED, asdict(found))
    return found


def one_epoch(team: Team, setup: Setup) -> list[Report]:
    """Train and validate each member for one epoch. Its seconds are its share of the bank's."""
    begun, members = time.monotonic(), team.going
    number = len(members[0].epochs) + 1
    losses = train_epoch(team, setup, number)
    view, val = members[0].config.training.eval_view, setup.subsets.val
    predicted = predict_subset([member.average.head for member in members], setup.read_from, val, view)
    seconds = (time.monotonic() - begun) / len(members)
    for member, loss, of_one in zip(members, losses, predicted, strict=True):
        member.diverged = divergence(loss, of_one, number)
    return [
        (member.planned, member.add_epoch(error, penalty, evaluate(of_one, val.scores), seconds))
        for member, (error, penalty), of_one in zip(members, losses.tolist(), predicted, strict=True)
    ]


def divergence(loss: np.ndarray, predicted: np.ndarray, epoch: int) -> str:
    """Say why a training cannot go on after an epoch with these mean losses (2,) and predictions (n,); empty if it can.

    What is not finite stays so: no later epoch mends it.
    """
    for what, values in (("the loss", loss), ("a prediction", predicted)):
        if not np.isfinite(values).all():
            return f"{what} is no finite number after epoch {epoch}; a lower --lr, or --clip, may help"
    return ""
