"""What several heads are made of, in products that torch.func.vmap maps over the parameters of many heads."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from headtrain.heads.noise import Factors


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    """Compute W x + b of a layer; in bfloat16 the product alone is rounded, not the sum."""
    y = functional.linear(x, layer.weight)
    return y if layer.bias is None else plus(y, layer.bias)


def plus(y: Tensor, bias: Tensor) -> Tensor:
    """Compute y + b in the precision of b. Said so, torch 2.7's compiler does not make one kernel of product and sum,
    which fails for a product in bfloat16.
    """
    return y.to(bias.dtype) + bias


class LstmCell(nn.Module):
    """Compute one step of torch's LSTMCell, gates i f g o, by operators that can be mapped and compiled.

    Parameters have the names of torch's LSTMCell, or, with `layer` "_l0", of its LSTM, and start as theirs do.
    """

    def __init__(self, inputs: int, hidden: int, layer: str = "") -> None:
        super().__init__()
        shapes = {"weight_ih": (4 * hidden, inputs), "weight_hh": (4 * hidden, hidden),
                  "bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}  # fmt: skip
        self.names = [name + layer for name in shapes]
        for name, shape in zip(self.names, shapes.values(), strict=True):
            values = nn.init.uniform_(torch.empty(shape), -(hidden**-0.5), hidden**-0.5)
            self.register_parameter(name, nn.Parameter(values))

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        (h, c), (w_ih, w_hh, b_ih, b_hh) = state, (getattr(self, name) for name in self.names)
        gates = plus(functional.linear(x, w_ih), b_ih) + plus(functional.linear(h, w_hh), b_hh)  # (B, 4 * H)
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
