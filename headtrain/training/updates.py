"""The update of all heads of a bank at once: clipping, Adam, running averages, on their common memory.

What is done to a head does not depend on those beside it. Heads of equal settings share the kernels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.stacks import stack
from headtrain.compute.replay import replays
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.member import Member
from headtrain.training.rates import learning_rate_at

MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, by the names that its state has in torch


class Together(NamedTuple):
    """Hold heads that stand side by side in a bank and have the settings of an update in common."""

    rows: slice
    members: Sequence[Member]  # at least one

    @property
    def settings(self) -> TrainingConfig:
        """Return what they have in common."""
        return self.members[0].config.training


class Updates:
    """Train the heads of a bank, those of `members`, by the gradients that are there.

    The members' optimisers and averages stay what is saved and resumed: their tensors become views of common memory.
    """

    def __init__(self, bank: Bank, members: Sequence[Member]) -> None:
        self.bank, self.members = bank, [*members]
        self.averages = stack([member.average.head for member in members], trained=False)
        self.groups = [*groups_of(members)]
        self.of_groups = [[a[group.rows] for a in self.averages.parameters.values()] for group in self.groups]
        moments = {name: stacked_moments(members, name) for name in bank.parameters}
        self.replayed = replays(bank.device)  # then what changes from step to step lies on the card
        self.optimiser = torch.optim.Adam(
            [
                {
                    "params": views(bank.parameters, group.rows),
                    "lr": torch.zeros((), device=bank.device) if self.replayed else 0.0,
                    "weight_decay": group.settings.l2,
                }
                for group in self.groups
            ],
            fused=True,
            capturable=self.replayed,
        )
        self.follows = [0.0] * len(self.groups)  # how far averages go towards their heads in the next step
        self.followed = [torch.zeros((), device=bank.device) for _ in self.groups]  # the same where it is replayed
        for group, of_group in zip(self.groups, self.optimiser.param_groups, strict=True):
            for (name, found), parameter in zip(moments.items(), of_group["params"], strict=True):
                step = step_of(group.members[0], name).to(parameter.device)
                self.optimiser.state[parameter] = {"step": step} | {key: found[key][group.rows] for key in MOMENTS}
                for member in group.members:
                    state_of(member, name)["step"] = step
        clips = [member.config.training.clip or float("inf") for member in members]
        self.clips = torch.tensor(clips, device=bank.device) if min(clips) < float("inf") else None

    def begin_epoch(self, number: int) -> None:
        """Set the learning rates of epoch `number`, from 1."""
        for group, of_group in zip(self.groups, self.optimiser.param_groups, strict=True):
            rate = learning_rate_at(group.settings, number)
            if isinstance(of_group["lr"], Tensor):
                of_group["lr"].fill_(rate)
            else:
                of_group["lr"] = rate

    def count(self) -> None:
        """Count a step that is about to be taken: `step` itself is the same each time."""
        keeps = [member.average.keep() for member in self.members]
        self.follows = [1 - keeps[group.rows.start] for group in self.groups]
        if self.replayed:
            for tensor, value in zip(self.followed, self.follows, strict=True):
                tensor.fill_(value)

    @torch.no_grad()
    def step(self) -> None:
        """Take one step: each head by its own gradients, its average towards it."""
        if self.clips is not None:
            self.clip(self.clips)
        self.optimiser.step()
        for n, (averages, of_group) in enumerate(zip(self.of_groups, self.optimiser.param_groups, strict=True)):
            weight = [self.followed[n]] * len(averages) if self.replayed else self.follows[n]
            torch._foreach_lerp_(averages, of_group["params"], weight)

    def clip(self, most: Tensor) -> None:
        """Scale the gradients of each head whose norm is above its limit in `most` (N,), as torch's clip_grad_norm_."""
        gradients = [parameter.grad for parameter in self.bank.parameters.values() if parameter.grad is not None]
        norms = torch.stack([one.flatten(1).norm(dim=1) for one in gradients]).norm(dim=0)  # (N,)
        factors = (most / (norms + 1e-6)).clamp(max=1)
        for one in gradients:
            one.mul_(factors.view(-1, *[1] * (one.dim() - 1)))

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Give the averages what is not averaged: BatchNorm's running statistics."""
        for name, buffer in self.averages.buffers.items():
            buffer.copy_(self.bank.buffers[name])


def groups_of(members: Sequence[Member]) -> Iterator[Together]:
    """Yield runs of neighbours whose settings of an update are equal."""
    start = 0
    for stop in range(1, len(members) + 1):
        if stop == len(members) or update_key(members[stop]) != update_key(members[start]):
            yield Together(slice(start, stop), members[start:stop])
            start = stop


def update_key(member: Member) -> tuple[object, ...]:
    """Return all that decides how a head is updated, beside its gradients and its clipping."""
    s, average = member.config.training, member.average
    return s.l2, s.learning_rate, s.lr_schedule, s.lr_step, s.lr_factor, s.epochs, average.decay, average.updates


def views(parameters: Mapping[str, Tensor], rows: slice) -> list[Tensor]:
    """Return some heads' parameters with their gradients, as leaves of their own on the same memory."""
    found = []
    for parameter in parameters.values():
        view = parameter.detach()[rows]
        view.grad = None if parameter.grad is None else parameter.grad[rows]
        found.append(view)
    return found


def stacked_moments(members: Sequence[Member], name: str) -> Mapping[str, Tensor]:
    """Move the moments of one parameter of all heads into common memory, (N, ...) each; zeros before the first step."""
    found = {}
    for key in MOMENTS:
        states = [state_of(member, name) for member in members]
        like = [dict(member.head.named_parameters())[name].detach() for member in members]
        found[key] = torch.stack(
            [state.get(key, torch.zeros_like(one)) for state, one in zip(states, like, strict=True)]
        )
        for state, view in zip(states, found[key], strict=True):
            state[key] = view
    return found


def state_of(member: Member, name: str) -> dict[str, Tensor]:
    """Return what a member's optimiser holds of one of its parameters."""
    found: dict[str, Tensor] = member.optimiser.state[dict(member.head.named_parameters())[name]]
    return found


def step_of(member: Member, name: str) -> Tensor:
    """Return how many steps a member's optimiser has taken."""
    return state_of(member, name).get("step", torch.zeros(()))
