"""Layers of N heads at once, in plain products: torch's own modules know one head."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from headtrain.heads.dropout import Dropout


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute W x + b of each head: weight (N, O, I), bias (N, O), x (N, B, I), or (B, I) for all; gives (N, B, O).

    One x for all heads is one product with all their weights; one head is a plain one, as torch's batched is slower.
    """
    N, outputs, _ = weight.shape
    if x.dim() == 2:
        y = functional.linear(x, weight.flatten(0, 1)).view(-1, N, outputs).transpose(0, 1)  # (N, B, O)
    elif N == 1:
        y = functional.linear(x[0], weight[0]).unsqueeze(0)  # (1, B, O)
    else:
        y = x @ weight.mT  # (N, B, O)
    return y if bias is None else y + bias.unsqueeze(1)


class LstmWeights(NamedTuple):
    """Hold the weights of torch's LSTMCell for N heads, gates i f g o."""

    w_ih: Tensor  # (N, 4 * H, I)
    w_hh: Tensor  # (N, 4 * H, H)
    b_ih: Tensor  # (N, 4 * H)
    b_hh: Tensor  # (N, 4 * H)


def lstm_cell(x: Tensor, state: tuple[Tensor, Tensor], weights: LstmWeights) -> tuple[Tensor, Tensor]:
    """Compute one step of torch's LSTMCell: x (N, B, I), state h and c (N, B, H); gives the new state."""
    (h, c), (w_ih, w_hh, b_ih, b_hh) = state, weights
    i, f, g, o = (linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, dim=-1)  # (N, B, H) each
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def stacked_draws(layers: Sequence[Dropout], shape: Sequence[int], device: torch.device) -> Tensor | None:
    """Draw each head's own dropout factors for its values of `shape`, (N, ...); None where no head drops any."""
    drawn = [layer.draw(shape, device) for layer in layers]
    of_one = next((factors for factors in drawn if factors is not None), None)
    if of_one is None:
        return None
    if len(layers) == 1:
        return of_one.unsqueeze(0)  # without a copy
    kept = torch.ones_like(of_one)
    return torch.stack([kept if factors is None else factors for factors in drawn])


def dropped(x: Tensor, factors: Tensor | None) -> Tensor:
    """Apply dropout by factors (N, ...) to x. Where there are some, one x for all heads becomes one for each."""
    return x if factors is None else x * factors


def recomputed(function: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
    """Return function(*args). In compiled kernels the backward pass computes it again: cheaper there than what it would
    have to keep in memory; in eager ones, which read and write every intermediate anyway, dearer.
    """
    if not torch.compiler.is_compiling():
        return function(*args)
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
