"""The members that train in one bank, and the bank: who has ended leaves it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headtrain.compute.bank.bank import Bank
from headtrain.compute.replay import Replay
from headtrain.features.batches import scales_on
from headtrain.training.losses import Penalties
from headtrain.training.member import Member
from headtrain.training.planned import Setup
from headtrain.training.step import Step
from headtrain.training.updates import Updates


class Team:
    """Hold members in training, one epoch after another: `going`, of whom each has a row of the bank.

    Who leaves is freed at once. Compiled kernels are made for a number of heads: there the row stays, idle, until half
    of all are, so that sixteen heads that end one by one are compiled five times and not sixteen.
    """

    bank: Bank
    updates: Updates
    targets: Tensor  # (N, n) on the training scale
    step: Step  # of `begin_epoch`; `take` takes it
    take: Replay

    def __init__(self, members: Sequence[Member], setup: Setup) -> None:
        self.going, self.idle_rows, self.scores = [*members], setup.kernels.compiled, setup.subsets.train.scores
        self._gather()

    def _gather(self) -> None:
        """Put the heads of all who are going into one bank."""
        self.rows = [*range(len(self.going))]  # of those who are going
        for name in ("bank", "updates", "targets", "step", "take"):  # their memory, before there is more
            vars(self).pop(name, None)
        if not self.going:
            return
        self.settings = [member.config.training for member in self.going]  # of each row
        self.bank = Bank([member.head for member in self.going])
        self.updates = Updates(self.bank, self.going)
        self.targets = torch.stack([member.targets(self.scores) for member in self.going])

    def begin_epoch(self, number: int, setup: Setup, batch: int) -> None:
        """Prepare for epoch `number`, from 1, in batches of at most so many images."""
        if "step" not in vars(self):
            penalties, scales = Penalties(self.settings, self.bank.device), scales_on(self.bank.device, setup.read_from)
            self.step = Step(self.bank, self.updates, penalties, setup.kernels, scales, batch)
            self.take = Replay(self.step, self.bank.device)
        for head in self.bank.heads:
            head.train()
        self.updates.begin_epoch(number)
        self.step.sums.zero_()

    @property
    def places(self) -> int:
        """Return how many places of dropout a forward pass has."""
        return len(self.bank.places(self.step.size))

    def train(self, stored: Tensor, targets: Tensor, keys: Tensor) -> None:
        """Take one step, as `Step`."""
        self.updates.count()
        self.take(stored, targets, keys)

    def end_epoch(self) -> Tensor:
        """Return the sums (n, 2) over the epoch of those who are going; averages are up to date then."""
        self.updates.end_epoch()
        return self.of_going(self.step.sums)

    def leave(self, leaving: Sequence[bool]) -> list[Member]:
        """Let those who leave go, one truth for each member who is going; return them."""
        found = [member for member, leaves in zip(self.going, leaving, strict=True) if leaves]
        kept = [(m, row) for m, row, leaves in zip(self.going, self.rows, leaving, strict=True) if not leaves]
        self.going, self.rows = [member for member, _ in kept], [row for _, row in kept]
        if found and not (self.idle_rows and 2 * len(kept) > len(self.bank.heads)):
            self._gather()
        return found

    def of_going(self, rows: Tensor) -> Tensor:
        """Return the rows (n, ...) of those who are going, of what there is for each row (N, ...)."""
        return rows if len(self.rows) == len(rows) else rows[self.rows]
