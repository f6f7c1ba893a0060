"""The head of the authors' published code, which differs from their paper: github.com/ok1zjf/AMNet, amnet_model.py.

Parameters carry the published names, so that a released checkpoint loads as it is. Letters as in `heads.head`.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from headtrain.heads.head import Head, Output, put_together
from headtrain.heads.layers import LstmCell, affine
from headtrain.heads.noise import STILL, Noise
from headtrain.settings.configuration import HeadConfig


class ReleasedHead(Head):
    """Compute the authors' network: a 1x1 convolution with BatchNorm before everything, attention of one number a
    location from h, without b and M.

    Every parameter exists whatever `steps` and `attention` are, as in the published checkpoints. A new head starts as
    torch's layers do.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        L, D, H = config.locations, config.channels, config.hidden
        self.inconv = nn.Conv2d(D, D, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(D)  # over (B * L, D): the same numbers as BatchNorm2d over (B, D, 14, 14)
        self.hs1, self.hc1 = nn.Linear(D, H), nn.Linear(D, H)
        self.e1 = nn.Linear(D, D, bias=False)
        self.eh1, self.eh3 = nn.Linear(H, L), nn.Linear(D, 1, bias=False)
        self.rnn = LstmCell(D, H, "_l0")
        self.regnet1, self.regnet4 = nn.Linear(H, config.regress_hidden), nn.Linear(config.regress_hidden, 1)

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:
        a = self.prepare(x, noise)  # (B, L, D)
        mean = a.mean(1)  # (B, D)
        h, c = torch.tanh(affine(self.hs1, mean)), torch.tanh(affine(self.hc1, mean))  # (B, H) each
        e = self.attend(a, noise) if self.config.attention else None  # (B, L, D), once for all steps
        state = h, c
        steps, attention = [], []
        for _ in range(self.config.outputs):
            alpha, z = self.look(a, e, h, noise)  # (B, L), (B, D)
            if self.config.steps:
                state = self.rnn(z, state)  # the state itself is not dropped out of
                z = state[0]  # (B, H)
            h = noise.drop(z, self.config.regress_dropout)  # feeds f_m and the next look
            attention.append(alpha)
            steps.append(self.regress(h, noise))  # (B,)
        return put_together(steps, attention, self.config.output)

    def prepare(self, x: Tensor, noise: Noise = STILL) -> Tensor:
        """Return a = dropout(ReLU(BatchNorm(1x1 convolution))), (B, L, D); channels last, a convolution is a matrix."""
        B, L, D = x.shape
        weight, bias = self.inconv.weight[:, :, 0, 0], cast(Tensor, self.inconv.bias)
        flat = linear(x.reshape(B * L, D), weight) + bias  # (B * L, D)
        a = relu(self.bn1(flat)).view(B, L, D)
        return noise.drop(a, self.config.feature_dropout, self.config.feature_dropout_unit)

    def attend(self, a: Tensor, noise: Noise = STILL) -> Tensor:
        """Return what the attention network makes of a itself, (B, L, D)."""
        return noise.drop(relu(affine(self.e1, a)), self.config.attention_dropout)

    def look(self, a: Tensor, e: Tensor | None, h: Tensor, noise: Noise = STILL) -> tuple[Tensor, Tensor]:
        """Return where the head looks (B, L), and what it sees there (B, D)."""
        if e is None:
            alpha = torch.full_like(a[..., 0], 1 / a.shape[1])  # (B, L)
        else:
            eh = relu(e + affine(self.eh1, h).unsqueeze(-1))  # (B, L, D): one number a location
            eh = noise.drop(eh, self.config.attention_dropout)
            alpha = torch.softmax(affine(self.eh3, eh).squeeze(-1), dim=1)  # (B, L)
        return alpha, torch.bmm(alpha.unsqueeze(1), a).squeeze(1)  # (B, D)

    def regress(self, h: Tensor, noise: Noise = STILL) -> Tensor:
        """Compute f_m (B,) of h (B, H), with one hidden layer, of 512 in the authors' code."""
        with torch.autocast(h.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            hidden = relu(affine(self.regnet1, h.to(self.regnet4.weight.dtype)))  # (B, regress_hidden)
            return affine(self.regnet4, noise.drop(hidden, self.config.regress_dropout)).squeeze(-1)  # (B,)
