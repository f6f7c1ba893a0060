"""What training minimises: equations (13) to (15)."""

import torch
from torch import Tensor

from headtrain.head import Output


def squared_error(output: Output, target: Tensor) -> Tensor:
    """The first term of (13): mean over the batch of (y - target)^2, target (B,) on the training scale."""
    return torch.mean((output.score - target) ** 2)


def attention_penalty(output: Output) -> Tensor:
    """(14), (15): mean over the batch of sum_L (1 - sum_t a_t)^2.

    It wants every place to be looked at once over the T steps. For uniform attention it is L (1 - T / L)^2.
    """
    return ((1 - output.attention.sum(1)) ** 2).sum(1).mean()
