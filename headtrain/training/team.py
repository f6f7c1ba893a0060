"""The members that train in one bank, and the bank: who has ended leaves it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from headtrain.compute.bank.bank import Bank
from headtrain.compute.replay import Replay
from headtrain.features.batches import batch_length, scales_on
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.losses import Penalties
from headtrain.training.member import Member
from headtrain.training.planned import Setup
from headtrain.training.step import Step
from headtrain.training.updates import Updates


class Work(NamedTuple):
    """Hold what trains the heads of some members together; each has a row of it."""

    settings: Sequence[TrainingConfig]
    bank: Bank
    targets: Tensor  # (N, n) on the training scale
    updates: Updates
    step: Step
    take: Replay  # takes the step

    def train(self, stored: Tensor, targets: Tensor, keys: Tensor) -> None:
        """Take one step, as `Step`."""
        self.updates.count()
        self.take(stored, targets, keys)


def work_of(members: Sequence[Member], setup: Setup) -> Work:
    """Put the heads of members into one bank."""
    settings, source, train = [member.config.training for member in members], setup.read_from, setup.subsets.train
    bank = Bank([member.head for member in members])
    targets = torch.stack([member.targets(train.scores) for member in members])
    updates, penalties = Updates(bank, members), Penalties(settings, bank.device)
    batch = batch_length(len(train.rows), source.views, settings[0])
    step = Step(bank, updates, penalties, setup.kernels, scales_on(bank.device, source), batch)
    return Work(settings, bank, targets, updates, step, Replay(step, bank.device))


class Team:
    """Hold members in training, one epoch after another: `going`, and the `work` on their heads, None without any.

    Who leaves is freed at once. Compiled kernels are made for a number of heads: there the row stays, idle, until half
    of all are, so that sixteen heads that end one by one are compiled five times and not sixteen.
    """

    def __init__(self, members: Sequence[Member], setup: Setup) -> None:
        self.going, self.setup, self.rows = [*members], setup, [*range(len(members))]
        self.work = work_of(self.going, setup) if members else None

    def leave(self, leaving: Sequence[bool]) -> list[Member]:
        """Let those who leave go, one truth for each member who is going; return them."""
        found = [member for member, leaves in zip(self.going, leaving, strict=True) if leaves]
        kept = [(m, row) for m, row, leaves in zip(self.going, self.rows, leaving, strict=True) if not leaves]
        self.going, self.rows = [member for member, _ in kept], [row for _, row in kept]
        if found and self.work and not (self.setup.kernels.compiled and 2 * len(kept) > len(self.work.settings)):
            self.rows, self.work = [*range(len(kept))], None  # its memory, before there is more
            self.work = work_of(self.going, self.setup) if kept else None
        return found
