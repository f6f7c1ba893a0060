"""The members that train in one bank, and the bank: who has ended leaves it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headtrain.compute.bank.bank import Bank
from headtrain.training.losses import Penalties
from headtrain.training.member import Member
from headtrain.training.planned import Setup
from headtrain.training.updates import Updates


class Team:
    """Hold members in training, one epoch after another: `going`, of whom each has a row of the bank.

    Who leaves is freed at once. Compiled kernels are made for a number of heads: there the row stays, idle, until half
    of all are, so that sixteen heads that end one by one are compiled five times and not sixteen.
    """

    bank: Bank
    updates: Updates
    targets: Tensor  # (N, n) on the training scale
    penalties: Penalties

    def __init__(self, members: Sequence[Member], setup: Setup) -> None:
        self.going, self.idle_rows, self.scores = [*members], setup.kernels.compiled, setup.subsets.train.scores
        self._gather()

    def _gather(self) -> None:
        """Put the heads of all who are going into one bank."""
        self.rows = [*range(len(self.going))]  # of those who are going
        if not self.going:
            del self.bank, self.updates, self.targets, self.penalties
            return
        self.settings = [member.config.training for member in self.going]  # of each row
        self.bank = Bank([member.head for member in self.going])
        self.updates = Updates(self.bank, self.going)
        self.targets = torch.stack([member.targets(self.scores) for member in self.going])
        self.penalties = Penalties(self.settings, self.bank.device)

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
