"""What training minimises: equations (13) to (15), and the penalty on the order of steps that the paper dropped.

Means over the batch; what an `Output` has before its batch, N heads of a bank, stays.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu

from headtrain.heads.head import Output
from headtrain.settings.configuration import TrainingConfig

RELEASED_DECAY = 0.1  # of the authors' code: mem_loc_w, from each step to the next
RELEASED_SHARE = 0.2  # of the authors' code: what each step should give each location


def squared_error(output: Output, target: Tensor) -> Tensor:
    """Compute the first term of (13): mean over the batch of (y - target)^2, both (..., B), on the training scale."""
    return ((output.score - target) ** 2).mean(-1)


def attention_penalty(output: Output, form: str = "paper") -> Tensor:
    """Compute (14), (15): mean over the batch of sum_L (1 - sum_t a_t)^2; `released`: sum_L (sum_t (0.2 - a_t))^2.

    It asks that every location be looked at once over the T steps. For uniform attention it is L (1 - T / L)^2.
    """
    wanted = 1.0 if form == "paper" else RELEASED_SHARE * output.attention.shape[-2]
    return ((wanted - output.attention.sum(-2)) ** 2).sum(-1).mean(-1)


def order_penalty(output: Output, order: str) -> Tensor:
    """Compute the mean over the batch of sum_t max(0, m_t - m_{t+1})^2, for ascending steps; `descending`: the reverse.

    The paper tried such a penalty and dropped it, without its formula: this form is an assumption. `released` is that
    of the authors' code, where its weight is 0: sum_t (m_t 0.1^t)^2, t from 0.
    """
    if order == "released":
        decay = RELEASED_DECAY ** torch.arange(output.steps.shape[-1], device=output.steps.device)  # (T,)
        return ((output.steps * decay) ** 2).sum(-1).mean(-1)
    rise = torch.diff(output.steps)  # (..., B, T - 1)
    return (relu(-rise if order == "ascending" else rise) ** 2).sum(-1).mean(-1)


class Penalties:
    """Hold the weights of the penalties of N heads, on their device, and the forms of the first one's."""

    def __init__(self, settings: Sequence[TrainingConfig], device: torch.device | str) -> None:
        self.form, self.order_form = settings[0].penalty_form, settings[0].order
        self.attention = torch.tensor([one.penalty for one in settings], device=device)  # (N,)
        orders = [one.order_penalty for one in settings]
        self.order = torch.tensor(orders, device=device) if any(orders) else None  # (N,)


def loss_terms(output: Output, target: Tensor, penalties: Penalties) -> tuple[Tensor, Tensor, Tensor]:
    """Compute squared error, attention penalty before lambda, and the sum (13) to minimise, (N,) each, of N heads.

    `target` (N, B).
    """
    error, attention = squared_error(output, target), attention_penalty(output, penalties.form)
    loss = error + penalties.attention * attention
    if penalties.order is not None:
        loss = loss + penalties.order * order_penalty(output, penalties.order_form)
    return error, attention, loss
