"""The AMNet head as the paper prints it: soft attention, an LSTM of T steps, a regression network; y = sum_t m_t.

Letters: B batch, L places (196), D channels (1024), H hidden size (1024), T steps (3). Numbers in brackets are the
paper's equations (Fajtl et al., CVPR 2018); parameters carry the paper's letters.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from amnet_common.errors import ShapeError
from headtrain.presets import HeadConfig

if TYPE_CHECKING:
    from headtrain.checkpoint import Provenance


class Output(NamedTuple):
    """What a head says of a batch, on the data's scale; the step scores add up to the score."""

    score: Tensor  # (B,)
    steps: Tensor  # (B, T)
    attention: Tensor  # (B, T, L), each step's weights sum to 1


class Attention(nn.Module):
    """Equation (8): e = sum_D(M * tanh(U h + K x + b))."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.K = nn.Linear(config.channels, config.channels, bias=False)
        self.U = nn.Linear(config.hidden, config.channels, bias=False)
        self.b = nn.Parameter(torch.zeros(config.channels))
        self.M = nn.Parameter(torch.zeros(config.places, config.channels))  # a new head looks everywhere alike

    def project(self, x: Tensor) -> Tensor:
        """K x + b, which is the same at every step."""
        return self.K(x) + self.b  # (B, L, D)

    def forward(self, h: Tensor, kx: Tensor) -> Tensor:
        return (self.M * torch.tanh(self.U(h).unsqueeze(1) + kx)).sum(-1)  # (B, L)


class Regression(nn.Module):
    """f_m of (10): one hidden layer. Its width and its dropout are assumptions."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden, config.regress_hidden)
        self.out = nn.Linear(config.regress_hidden, 1)
        self.dropout = nn.Dropout(config.regress_dropout)
        for parameter in self.out.parameters():  # a new head says the mean score, and not a random function's value
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor) -> Tensor:
        return self.out(self.dropout(relu(self.hidden(self.dropout(h))))).squeeze(-1)  # (B,)


class Head(nn.Module):
    """Attention, LSTM and regression with the statistics they need; a checkpoint holds all of it.

    `forward` gives the outputs on the training scale (targets of zero mean within [-1, 1]), `predict` on the data's.
    """

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: Provenance | None = None  # of a head that was loaded
        self.attention = Attention(config) if config.attention else None
        self.init_h = nn.Linear(config.channels, config.hidden)
        self.init_c = nn.Linear(config.channels, config.hidden)
        self.lstm = nn.LSTMCell(config.channels, config.hidden)
        self.regress = Regression(config)
        self.register_buffer("input_mean", torch.zeros(config.channels))
        self.register_buffer("input_std", torch.ones(config.channels))
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_scale", torch.ones(()))

    def forward(self, x: Tensor) -> Output:
        x = self.prepare(x)  # (B, L, D)
        mean = x.mean(1)  # (B, D)
        h, c = torch.tanh(self.init_h(mean)), torch.tanh(self.init_c(mean))  # (12), (B, H) each
        kx = self.attention.project(x) if self.attention else None  # (B, L, D)
        attention, steps = [], []
        for _ in range(self.config.steps):
            e = self.attention(h, kx) if self.attention else torch.ones_like(x[..., 0])  # (8) or (9), (B, L)
            a = torch.softmax(e, dim=1)  # (6), (B, L)
            z = torch.bmm(a.unsqueeze(1), x).squeeze(1)  # (4), (B, D)
            h, c = self.lstm(z, (h, c))  # (3)
            attention.append(a)
            steps.append(self.regress(h))  # (10), (B,)
        m = torch.stack(steps, dim=1)  # (B, T)
        return Output(m.sum(1), m, torch.stack(attention, dim=1))  # (11)

    def prepare(self, x: Tensor) -> Tensor:
        """Raw features to the head's input: each channel standardised, dropout of whole channels."""
        if self.config.standardise:
            x = (x - self.input_mean) / self.input_std
        if self.training and self.config.feature_dropout:
            kept = dropout(x.new_ones(len(x), 1, x.shape[2]), self.config.feature_dropout)  # (B, 1, D)
            x = x * kept
        return x

    def on_data_scale(self, output: Output) -> Output:
        """m_t / scale + mean / T, so that the step scores still add up to the score."""
        steps = output.steps / self.target_scale + self.target_mean / self.config.steps
        return Output(steps.sum(1), steps, output.attention)

    @torch.inference_mode()
    def predict(self, x: Tensor | np.ndarray) -> Output:
        """Scores for raw features x, (B, L, D) or (B, 14, 14, D), of any float dtype.

        Evaluation mode, whatever the module's own; float32, detached, on the CPU. Raises ShapeError for other shapes
        and for integers: codes of a uint8 collection are no features until they are multiplied by their scales.
        """
        device, (L, D) = self.target_mean.device, (self.config.places, self.config.channels)
        if x.shape[-1] != D or math.prod(x.shape[1:-1]) != L:
            raise ShapeError(f"features: wanted (B, {L}, {D}), channels last, found {tuple(x.shape)}")
        if not torch.as_tensor(x).is_floating_point():
            raise ShapeError(
                f"features: wanted floats, found {x.dtype} codes; Collection.read_dequantised gives floats"
            )
        features = torch.as_tensor(x).to(device).float().reshape(len(x), L, D)
        was_training = self.training
        output = self.eval().on_data_scale(self(features))
        self.train(was_training)
        return Output(*(part.cpu() for part in output))
