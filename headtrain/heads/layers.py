"""What several heads are made of, in products that torch.func.vmap maps over the parameters of many heads."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from headtrain.heads.noise import Factors


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    """Compute W x + b of a layer; in bfloat16 the product alone is rounded, not the sum."""
    y = functional.linear(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


class LstmWeights(NamedTuple):
    """Hold the weights of torch's LSTMCell, gates i f g o."""

    w_ih: Tensor  # (4 * H, I)
    w_hh: Tensor  # (4 * H, H)
    b_ih: Tensor  # (4 * H,)
    b_hh: Tensor  # (4 * H,)


def lstm_step(x: Tensor, state: tuple[Tensor, Tensor], weights: LstmWeights) -> tuple[Tensor, Tensor]:
    """Compute one step of torch's LSTMCell: x (B, I), state h and c (B, H); gives the new state."""
    (h, c), (w_ih, w_hh, b_ih, b_hh) = state, weights
    gates = functional.linear(x, w_ih) + b_ih + (functional.linear(h, w_hh) + b_hh)  # (B, 4 * H)
    i, f, g, o = gates.chunk(4, dim=-1)  # (B, H) each
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def recomputed(function: Callable[..., Tensor], *args: Factors) -> Tensor:
    """Return function(*args). In compiled kernels the backward pass computes it again: cheaper there than what it would
    have to keep in memory; in eager ones, which read and write every intermediate anyway, dearer.
    """
    if not torch.compiler.is_compiling():
        return function(*args)
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
