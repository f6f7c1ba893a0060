"""The update of a bank against torch's Adam, its clipping, and the average written out, head by head."""

from copy import deepcopy

import pytest
import torch

from headtrain.compute.bank.bank import Bank
from headtrain.heads.architectures import new_head
from headtrain.settings.configuration import override
from headtrain.training.averaging import RunningAverage
from headtrain.training.member import Member
from headtrain.training.planned import PlannedRun
from headtrain.training.rates import learning_rate_at
from headtrain.training.updates import Updates, groups_of

STEPS = 4
CASES = {
    "equal settings": [{"seed": 0}, {"seed": 1}, {"seed": 2}],
    "settings of their own": [
        {"learning_rate": 0.1, "l2": 0.1},
        {"learning_rate": 0.01, "lr_schedule": "cosine", "epochs": 4, "weight_average": 0.9},
        {"clip": 0.5, "weight_average": 0.2},
    ],
    "two alike beside another": [{}, {"learning_rate": 0.01}, {"learning_rate": 0.01, "clip": 1.0}],
}


def member_of(config, folder, number):
    torch.manual_seed(number)
    head = new_head(config.head)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    optimiser = torch.optim.Adam(head.parameters(), weight_decay=config.training.l2, fused=True)
    average = RunningAverage(head, config.training.weight_average)
    return Member(PlannedRun(config, folder), head, optimiser, average, None)


def gradients(members):
    """Set random gradients, of very different size from head to head; return them."""
    for number, member in enumerate(members):
        for parameter in member.head.parameters():
            parameter.grad.copy_(torch.randn_like(parameter) * 10 ** (number - 1))
    return [[parameter.grad.clone() for parameter in member.head.parameters()] for member in members]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_head_is_updated_as_if_it_were_alone(tiny, tmp_path, case):
    members = [member_of(override(tiny, **given), tmp_path, n) for n, given in enumerate(CASES[case])]
    alone = [deepcopy(member.head) for member in members]
    averages = [[parameter.detach().double() for parameter in head.parameters()] for head in alone]
    adams = [
        torch.optim.Adam(h.parameters(), weight_decay=m.config.training.l2) for h, m in zip(alone, members, strict=True)
    ]
    updates = Updates(Bank([member.head for member in members]), members)
    for step in range(1, STEPS + 1):
        updates.begin_epoch(step)
        found = gradients(members)
        updates.count()
        updates.step()
        for member, head, adam, average, given in zip(members, alone, adams, averages, found, strict=True):
            settings = member.config.training
            adam.param_groups[0]["lr"] = learning_rate_at(settings, step)
            for parameter, gradient in zip(head.parameters(), given, strict=True):
                parameter.grad = gradient
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(head.parameters(), settings.clip)
            adam.step()
            keep = min(settings.weight_average, (1 + step) / (10 + step))
            for mean, parameter in zip(average, head.parameters(), strict=True):
                mean.mul_(keep).add_(parameter.detach().double(), alpha=1 - keep)
    for member, head, average in zip(members, alone, averages, strict=True):
        for mine, wanted in zip(member.head.parameters(), head.parameters(), strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)
        for mine, wanted in zip(member.average.head.parameters(), average, strict=True):
            torch.testing.assert_close(mine.double(), wanted, rtol=1e-5, atol=1e-5)


def test_heads_of_equal_settings_share_the_kernels_of_an_update(tiny, tmp_path):
    members = [member_of(override(tiny, **given), tmp_path, 0) for given in CASES["two alike beside another"]]
    assert [(group.rows.start, group.rows.stop) for group in groups_of(members)] == [(0, 1), (1, 3)]


def test_a_head_that_goes_on_in_another_bank_keeps_its_moments(tiny, tmp_path):
    """Two steps in a bank of three and one alone, against three steps in a bank of three."""
    results = []
    for leaves in (True, False):
        members = [member_of(override(tiny, seed=n), tmp_path, n) for n in range(3)]
        updates = Updates(Bank([member.head for member in members]), members)
        for step in range(3):
            if leaves and step == 2:
                members = members[1:2]
                updates = Updates(Bank([members[0].head]), members)
            updates.begin_epoch(1)
            torch.manual_seed(step)
            wanted = [torch.randn_like(parameter) for parameter in members[0].head.parameters()]
            for member in members:
                for parameter, gradient in zip(member.head.parameters(), wanted, strict=True):
                    parameter.grad.copy_(gradient)
            updates.count()
            updates.step()
        results.append(members[0 if leaves else 1])
    for one in ("head", "average"):
        found, wanted = (member.head if one == "head" else member.average.head for member in results)
        for mine, other in zip(found.parameters(), wanted.parameters(), strict=True):
            torch.testing.assert_close(mine, other)


def test_what_is_saved_of_a_member_is_what_the_bank_has_done(tiny, tmp_path):
    members = [member_of(override(tiny, seed=n), tmp_path, n) for n in range(2)]
    updates = Updates(Bank([member.head for member in members]), members)
    updates.begin_epoch(1)
    given = gradients(members)[1][0]
    updates.count()
    updates.step()
    state = members[1].optimiser.state_dict()["state"][0]
    assert state["step"] == 1
    torch.testing.assert_close(state["exp_avg"], 0.1 * (given + tiny.training.l2 * 0), rtol=1e-3, atol=1e-6)
