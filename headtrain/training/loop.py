"""Heads of one split trained together, each stopped early by validation, each tested once with its best checkpoint."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amnet_common.files import write_json
from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.banks import new_bank
from headtrain.compute.bank.grouping import may_train_together
from headtrain.evaluation.metrics import evaluate
from headtrain.features.statistics import Statistics, channel_statistics
from headtrain.runs.folder import PRUNED
from headtrain.runs.log import Epoch
from headtrain.runs.record import Result, read_result
from headtrain.settings.configuration import Config
from headtrain.training.epoch import predict_subset, train_epoch
from headtrain.training.member import Member, begin, resume
from headtrain.training.outcome import finish
from headtrain.training.pace import Pace
from headtrain.training.planned import PlannedRun, Setup, Standing, standings

Report = tuple[PlannedRun, "Epoch | Result | Pruned"]


@dataclass(frozen=True)
class Pruned:
    """Report a head that was pruned after this epoch; it is not tested."""

    epoch: int


Choose = Callable[[Sequence[Member]], Sequence[Member]]  # of the members after an epoch, those to prune


def keep_all(members: Sequence[Member]) -> Sequence[Member]:  # noqa: ARG001 - one of several ways to choose
    """Prune no member."""
    return []


def train(setup: Setup, config: Config, run: Path) -> Generator[Epoch, None, Result]:
    """Train one head into the folder `run`: yields each epoch when it is in the log, returns the result.

    It is `train_together` of one, and raises as that does.
    """
    for _, report in train_together(setup, [PlannedRun(config, run)]):
        if isinstance(report, Result):
            return report
        if isinstance(report, Epoch):
            yield report
    raise AssertionError("a training ends with its result")


def train_together(setup: Setup, planned: Sequence[PlannedRun], prune: Choose = keep_all) -> Generator[Report]:
    """Train heads that fit in one bank: yields (planned, epoch) when it is in the log, (planned, result) at its end.

    `prune` is asked after each epoch. Raises as `standings` does, before any folder is made; OutputError if one cannot
    be written, CollectionError for damaged features.
    """
    assert may_train_together(one.config for one in planned)
    found = [*zip(planned, standings(setup, planned), strict=True)]
    for one, standing in found:
        if standing is Standing.FINISHED:
            yield one, read_result(one.run)
    for members in begun_members(setup, [pair for pair in found if pair[1] is not Standing.FINISHED]):
        yield from train_bank(members, setup, prune)


def begun_members(setup: Setup, planned: Sequence[tuple[PlannedRun, Standing]]) -> Generator[list[Member]]:
    """Yield the members of planned runs, those in the same epoch together: a bank is in one, and a kill may part them.

    Nothing here keeps what was yielded: a member that leaves its bank is freed.
    """
    statistics = statistics_for(setup, [one.config for one, _ in planned])
    of_epoch: dict[int, list[Member]] = {}
    for one, standing in planned:
        member = (begin if standing is Standing.ABSENT else resume)(setup, one, statistics)
        of_epoch.setdefault(len(member.epochs), []).append(member)
        del member
    for done in sorted(of_epoch):
        yield of_epoch.pop(done)


def statistics_for(setup: Setup, configs: Sequence[Config]) -> Statistics | None:
    """Compute the statistics of the training images' channels, if a configuration asks for them; None if none does."""
    asked = any(config.head.standardise for config in configs)
    return channel_statistics(setup.collection, setup.subsets.train.rows) if asked else None


def train_bank(members: list[Member], setup: Setup, prune: Choose) -> Generator[Report]:
    """Train until every member is finished or pruned; it then leaves `members` and the bank, which frees its memory."""
    bank: Bank | None = None
    pace = Pace()
    try:
        while members:
            finished = [member.finished for member in members]
            if any(finished):
                leaving = taken_out(members, finished)
                bank = bank_of(members)  # the old one's memory holds that of every head, and goes with those who leave
                yield from finish_each(leaving, setup)
            if members:
                bank = bank or new_bank([member.head for member in members])
                reports = one_epoch(bank, members, setup)
                save_at_pace(members, pace)
                yield from reports
                pruned = chosen(members, prune)
                if any(pruned):
                    save_all(members)  # resumed, those who go on must not come to this rung again
                    leaving = taken_out(members, pruned)
                    bank = bank_of(members)
                    yield from prune_each(leaving)
    except GeneratorExit:  # between two epochs: nothing of what was trained is lost
        save_all(members)
        raise


def bank_of(members: Sequence[Member]) -> Bank | None:
    """Move the heads of all members into common memory; None if there are none."""
    return new_bank([member.head for member in members]) if members else None


def chosen(members: Sequence[Member], prune: Choose) -> list[bool]:
    """Tell of each member whether it is to be pruned."""
    lost = prune(members)
    return [any(member is one for one in lost) for member in members]


def taken_out(members: list[Member], leave: Sequence[bool]) -> list[Member]:
    """Move the members that leave from `members` into a list of their own."""
    found = [member for member, leaves in zip(members, leave, strict=True) if leaves]
    members[:] = [member for member, leaves in zip(members, leave, strict=True) if not leaves]
    return found


def finish_each(members: list[Member], setup: Setup) -> Generator[Report]:
    """Save and test members that are finished, and let go of each when it has been reported."""
    save_all(members)
    while members:
        report = members[0].planned, finish(members.pop(0), setup)
        yield report


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


def one_epoch(bank: Bank, members: Sequence[Member], setup: Setup) -> list[Report]:
    """Train and validate each member for one epoch. Its seconds are its share of the bank's."""
    begun, number = time.monotonic(), len(members[0].epochs) + 1
    losses = train_epoch(bank, members, setup, number)
    view, val = members[0].config.training.eval_view, setup.subsets.val
    predicted = predict_subset([member.average.head for member in members], setup.read_from, val, view)
    seconds = (time.monotonic() - begun) / len(members)
    return [
        (member.planned, member.record(error, penalty, evaluate(of_one, val.scores), seconds))
        for member, (error, penalty), of_one in zip(members, losses.tolist(), predicted, strict=True)
    ]
