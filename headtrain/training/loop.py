"""Heads of one split trained together, each stopped early by validation, each tested once with its best checkpoint."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.banks import new_bank
from headtrain.compute.bank.grouping import may_train_together
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.evaluation.metrics import evaluate
from headtrain.features.batches import Source
from headtrain.features.splits import Subsets
from headtrain.features.statistics import Statistics, channel_statistics
from headtrain.runs.folder import DROPPED, METRICS, refuse_other_run, write_json
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import Config
from headtrain.training.epoch import predict_subset, train_epoch
from headtrain.training.member import Job, Member, begin, identity_of
from headtrain.training.outcome import Result, finish, read_result
from headtrain.training.pace import Pace

Report = tuple[Job, "Epoch | Result | Pruned"]


@dataclass(frozen=True)
class Pruned:
    """A head that was given up after this epoch; it is not tested."""

    epoch: int


Choose = Callable[[Sequence[Member]], Sequence[Member]]  # of the members after an epoch, those to give up


def keep_all(members: Sequence[Member]) -> Sequence[Member]:  # noqa: ARG001 - one of several ways to choose
    """Give none up."""
    return []


def train(
    collection: Collection,
    subsets: Subsets,
    config: Config,
    split: int,
    run: Path,
    device: str = "cpu",
    check: bool = True,
    resume: bool = False,
    source: Source | None = None,
    kernels: Kernels = EAGER,
) -> Generator[Epoch, None, Result]:
    """Train one head into the folder `run`: yields each epoch when it is in the log, returns the result.

    It is `train_together` of one, and raises as that does.
    """
    jobs = [Job(config, run)]
    for _, report in train_together(
        collection, subsets, jobs, split, device, check, resume, source=source, kernels=kernels
    ):
        if isinstance(report, Result):
            return report
        if isinstance(report, Epoch):
            yield report
    raise AssertionError("a training ends with its result")


def train_together(
    collection: Collection,
    subsets: Subsets,
    jobs: Sequence[Job],
    split: int,
    device: str = "cpu",
    check: bool = True,
    resume: bool = False,
    prune: Choose = keep_all,
    source: Source | None = None,
    kernels: Kernels = EAGER,
) -> Generator[Report]:
    """Train heads that fit in one bank: yields (job, epoch) when it is in the log, and (job, result) at a head's end.

    `source`: where training and validation views are read, if not from the collection itself (`features.residency`).
    `kernels`: in what arithmetic heads train; a run that is resumed must have begun in the same precision.
    `prune` is asked after each epoch. `check`: compare every training view with its checksum; evaluation always
    does. `resume`: go on with runs that were stopped, from their last saved epoch; on the same machine, with as many
    threads, they end with the weights of undisturbed ones.

    Raises OutputError if a folder exists (without `resume`) or cannot be written; RunError if what is to be resumed
    is another run; ConfigError for an evaluation view that the collection has not.
    """
    assert may_train_together(job.config for job in jobs)
    for job in jobs:
        refuse_missing_views(job.config, collection)
    statistics = statistics_for(jobs, collection, subsets)
    ended = [job for job in jobs if resume and (job.run / METRICS).exists()]
    for job in ended:
        refuse_other_run(job.run, identity_of(collection, subsets, job.config, split, kernels))
        yield job, read_result(job.run)
    going = [job for job in jobs if job not in ended]
    members = [begin(collection, subsets, job, split, statistics, device, resume, kernels) for job in going]
    for done in sorted({len(member.epochs) for member in members}):  # a bank is in one epoch; a kill may part them
        equal = [member for member in members if len(member.epochs) == done]
        yield from train_bank(equal, collection, source or collection, subsets, device, check, prune, kernels)


def refuse_missing_views(config: Config, collection: Collection) -> None:
    """ConfigError if the collection has not the views that are trained on, or that validation and test look at."""
    most, wanted = collection.views - 1, config.training
    if wanted.eval_view > most:
        raise ConfigError(f"--eval-view: expected a view in 0..{most} of {collection.path}, found {wanted.eval_view}")
    if wanted.augs is not None and wanted.augs > most:
        raise ConfigError(f"--augs: expected at most the {most} augmented views of {collection.path}, "
                          f"found {wanted.augs}")  # fmt: skip


def statistics_for(jobs: Sequence[Job], collection: Collection, subsets: Subsets) -> Statistics | None:
    """Of the training images' channels, if a configuration wants them."""
    wanted = any(job.config.head.standardise for job in jobs)
    return channel_statistics(collection, subsets.train.rows) if wanted else None


def train_bank(
    members: list[Member],
    collection: Collection,
    source: Source,
    subsets: Subsets,
    device: str,
    check: bool,
    prune: Choose,
    kernels: Kernels,
) -> Generator[Report]:
    """Train until every member is finished or given up. Then it leaves the bank, and its memory is freed."""
    bank: Bank | None = None
    pace = Pace()
    try:
        while members:
            for member in [member for member in members if member.finished]:
                member.save()
                yield member.job, finish(member, collection, subsets, device)
                members.remove(member)
                bank = None
            if members:
                bank = bank or new_bank([member.head for member in members])
                epochs = one_epoch(bank, members, source, subsets, check, kernels)
                save_at_pace(members, pace)
                for member, epoch in epochs:
                    yield member.job, epoch
                lost = prune(members)
                for member in members if lost else ():  # resumed, those who go on must not come to this rung again
                    member.save()
                for member in lost:
                    yield member.job, prune_member(member)
                    members.remove(member)
                    bank = None
    except GeneratorExit:  # between two epochs: nothing of what was trained is lost
        for member in members:
            member.save()
        raise


def save_at_pace(members: Sequence[Member], pace: Pace) -> None:
    """Save if it is due: on a GPU an epoch may take less time than its state takes to be written."""
    if pace.due:
        with pace.kept():
            for member in members:
                member.save()


def prune_member(member: Member) -> Pruned:
    """Say in its folder that a member is given up."""
    found = Pruned(len(member.epochs))
    write_json(member.job.run / DROPPED, asdict(found))
    return found


def one_epoch(
    bank: Bank, members: Sequence[Member], source: Source, subsets: Subsets, check: bool, kernels: Kernels
) -> list[tuple[Member, Epoch]]:
    """Train and validate each member for one epoch. Its seconds are its share of the bank's."""
    begun, number = time.monotonic(), len(members[0].epochs) + 1
    losses = train_epoch(bank, members, source, subsets.train, number, check, kernels)
    view = members[0].config.training.eval_view
    predicted = predict_subset([member.average.head for member in members], source, subsets.val, view)
    seconds = (time.monotonic() - begun) / len(members)
    return [
        (member, member.record(error, penalty, evaluate(of_one, subsets.val.scores), seconds))
        for member, (error, penalty), of_one in zip(members, losses.tolist(), predicted, strict=True)
    ]
