"""The head as the paper prints it: soft attention, an LSTM of T steps, a regression network; y = sum_t m_t.

Letters: B batch, L locations (196), D channels (1024), H hidden size (1024), T steps (3). Numbers in brackets are the
paper's equations (Fajtl et al., CVPR 2018); parameters carry the paper's letters.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from headtrain.heads.head import Head, Output, put_together
from headtrain.heads.layers import LstmCell, affine, recomputed
from headtrain.heads.noise import STILL, Factors, Noise
from headtrain.settings.configuration import HeadConfig


def energies(M: Tensor, uh: Tensor, kx: Tensor, factors: Factors) -> Tensor:
    """Compute (8), e = sum_D(M * tanh(U h + K x + b)), (B, L), of M (L, D), U h (B, D), K x + b (B, L, D).

    Compiled it is one loop over K x, and one more in the backward pass: no (B, L, D) is written for a step.
    """
    seen = torch.tanh(uh.unsqueeze(1) + kx)  # (B, L, D)
    return (M * (seen if factors is None else seen * factors)).sum(-1)


class Attention(nn.Module):
    """Hold the parameters of (8). Where its dropout stands is an assumption."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.K = nn.Linear(config.channels, config.channels, bias=False)
        self.U = nn.Linear(config.hidden, config.channels, bias=False)
        self.b = nn.Parameter(torch.zeros(config.channels))
        self.M = nn.Parameter(torch.zeros(config.locations, config.channels))  # a new head looks everywhere alike
        self.share = config.attention_dropout

    def project(self, x: Tensor) -> Tensor:
        """Return K x + b (B, L, D), which is the same at every step."""
        return self.K(x) + self.b  # (B, L, D)

    def forward(self, h: Tensor, kx: Tensor, noise: Noise = STILL) -> Tensor:
        return recomputed(energies, self.M, self.U(h), kx, noise.factors(kx.shape, self.share))  # (B, L)


class Regression(nn.Module):
    """Compute f_m of (10) with one hidden layer. Its width and its dropout are assumptions."""

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, config.regress_hidden)
        self.out = nn.Linear(config.regress_hidden, 1)
        self.share = config.regress_dropout
        for parameter in self.out.parameters():  # a new head says the mean score, and not a random function's value
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, noise: Noise = STILL) -> Tensor:
        with torch.autocast(h.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            h = noise.drop(h.to(self.out.weight.dtype), self.share)
            hidden = relu(affine(self.hidden, h))  # (B, regress_hidden)
            return affine(self.out, noise.drop(hidden, self.share)).squeeze(-1)  # (B,)


class PaperHead(Head):
    """Compute equations (3) to (12). Assumption: a new head starts with M = 0 (it looks everywhere alike) and a last
    layer of zeros (it says the mean score); the paper does not give its initialisation.

    With T = 0, as in the authors' code, there is no LSTM: f_m reads z of one look, whose h is h0.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.attention = Attention(config) if config.attention else None
        self.init_h = nn.Linear(config.channels, config.hidden)
        if config.steps:
            self.init_c = nn.Linear(config.channels, config.hidden)
            self.lstm = LstmCell(config.channels, config.hidden)
        self.regress = Regression(config.hidden if config.steps else config.channels, config)
        self.register_buffer("input_mean", torch.zeros(config.channels))
        self.register_buffer("input_std", torch.ones(config.channels))

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:
        x = self.prepare(x, noise)  # (B, L, D)
        mean = x.mean(1)  # (B, D)
        h = torch.tanh(affine(self.init_h, mean))  # (12), (B, H)
        kx = self.attention.project(x) if self.attention else None  # (B, L, D)
        if self.config.steps == 0:
            a, z = self.look(x, kx, h, noise)  # (B, L), (B, D)
            return put_together([self.regress(z, noise)], [a], self.config.output)
        c = torch.tanh(affine(self.init_c, mean))  # (12), (B, H)
        steps, attention = [], []
        for _ in range(self.config.steps):
            a, z = self.look(x, kx, h, noise)  # (B, L), (B, D)
            h, c = self.lstm(z, (h, c))  # (3)
            attention.append(a)
            steps.append(self.regress(h, noise))  # (10), (B,)
        return put_together(steps, attention, self.config.output)

    def look(self, x: Tensor, kx: Tensor | None, h: Tensor, noise: Noise = STILL) -> tuple[Tensor, Tensor]:
        """Return where the head looks, a (B, L), and what it sees there, z (B, D)."""
        if self.attention is None or kx is None:
            a = torch.full_like(x[..., 0], 1 / x.shape[1])  # (9), (B, L)
        else:
            a = torch.softmax(self.attention(h, kx, noise), dim=1)  # (6), (B, L)
        return a, torch.bmm(a.unsqueeze(1), x).squeeze(1)  # (4), (B, D)

    def prepare(self, x: Tensor, noise: Noise = STILL) -> Tensor:
        """Turn raw features (B, L, D) into the head's input: channels standardised if so configured, then dropout."""
        return noise.drop(self.standardised(x), self.config.feature_dropout, self.config.feature_dropout_unit)
