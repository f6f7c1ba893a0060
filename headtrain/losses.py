"""What training minimises: equations (13) to (15), and the penalty on the order of steps that the paper dropped."""

import torch
from torch import Tensor
from torch.nn.functional import relu

from headtrain.configuration import TrainingConfig
from headtrain.head import Output

RELEASED_SHARE = 0.2  # of the authors' code: what each step should give each place


def squared_error(output: Output, target: Tensor) -> Tensor:
    """The first term of (13): mean over the batch of (y - target)^2, target (B,) on the training scale."""
    return torch.mean((output.score - target) ** 2)


def attention_penalty(output: Output, form: str = "paper") -> Tensor:
    """(14), (15): mean over the batch of sum_L (1 - sum_t a_t)^2; `released`: sum_L (sum_t (0.2 - a_t))^2.

    It wants every place to be looked at once over the T steps. For uniform attention it is L (1 - T / L)^2.
    """
    wanted = 1.0 if form == "paper" else RELEASED_SHARE * output.attention.shape[1]
    return ((wanted - output.attention.sum(1)) ** 2).sum(1).mean()


def order_penalty(output: Output, order: str) -> Tensor:
    """Mean over the batch of sum_t max(0, m_t - m_{t+1})^2, which wants ascending steps; `descending`: the reverse.

    The paper tried such a penalty and dropped it, without its formula: this form is an assumption.
    """
    rise = torch.diff(output.steps, dim=1)  # (B, T - 1)
    return (relu(-rise if order == "ascending" else rise) ** 2).sum(1).mean()


def penalties(output: Output, settings: TrainingConfig) -> tuple[Tensor, Tensor]:
    """The attention penalty, before lambda, and the weighted sum of what is added to the squared error."""
    attention = attention_penalty(output, settings.penalty_form)
    total = settings.penalty * attention
    if settings.order_penalty:
        total = total + settings.order_penalty * order_penalty(output, settings.order)
    return attention, total
