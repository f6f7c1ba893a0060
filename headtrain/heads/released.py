"""The head of the authors' published code, which differs from their paper: github.com/ok1zjf/AMNet, amnet_model.py.

Parameters carry the published names, so that a released checkpoint loads as it is. Letters as in `heads.head`.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from headtrain.heads.dropout import Dropout
from headtrain.heads.head import Head, Output, put_together
from headtrain.settings.configuration import HeadConfig


class ReleasedHead(Head):
    """Compute the authors' network: a 1x1 convolution with BatchNorm before everything, attention of one number a
    location from h, without b and M.

    Every parameter exists whatever `steps` and `attention` are, as in the published checkpoints. A new head starts as
    torch's layers do.
    """

    whole_batch = True  # BatchNorm's statistics are those of what it sees at once

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        L, D, H = config.locations, config.channels, config.hidden
        self.inconv = nn.Conv2d(D, D, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(D)  # over (B * L, D): the same numbers as BatchNorm2d over (B, D, 14, 14)
        self.hs1, self.hc1 = nn.Linear(D, H), nn.Linear(D, H)
        self.e1 = nn.Linear(D, D, bias=False)
        self.eh1, self.eh3 = nn.Linear(H, L), nn.Linear(D, 1, bias=False)
        self.rnn = nn.LSTM(D, H)
        self.regnet1, self.regnet4 = nn.Linear(H, config.regress_hidden), nn.Linear(config.regress_hidden, 1)
        self.drop_features = Dropout(config.feature_dropout, config.feature_dropout_unit)
        self.drop_attention = Dropout(config.attention_dropout)
        self.drop_regress = Dropout(config.regress_dropout)  # of the LSTM's output, and of the hidden layer of f_m

    @classmethod
    def arrays_at_peak(cls, config: HeadConfig) -> int:
        """Return how many (n, L, D) arrays a backward pass holds at its peak."""
        return 8 + (5 + 5 * config.outputs if config.attention else 0)

    def forward(self, x: Tensor) -> Output:
        a = self.prepare(x)  # (B, L, D)
        mean = a.mean(1)  # (B, D)
        h, c = torch.tanh(self.hs1(mean)), torch.tanh(self.hc1(mean))  # (B, H) each
        e = self.drop_attention(relu(self.e1(a))) if self.config.attention else None  # (B, L, D), once for all steps
        state = h.unsqueeze(0), c.unsqueeze(0)  # (1, B, H) each
        steps, attention = [], []
        for _ in range(self.config.outputs):
            alpha, z = self.look(a, e, h)  # (B, L), (B, D)
            if self.config.steps:
                out, state = self.rnn(z.unsqueeze(0), state)  # the state itself is not dropped out of
                z = out.squeeze(0)  # (B, H)
            h = self.drop_regress(z)  # feeds f_m and the next look
            attention.append(alpha)
            steps.append(self.regress(h))  # (B,)
        return put_together(steps, attention, self.config.output)

    def prepare(self, x: Tensor) -> Tensor:
        """Return a = dropout(ReLU(BatchNorm(1x1 convolution))), (B, L, D); channels last, a convolution is a matrix."""
        B, L, D = x.shape
        flat = linear(x.reshape(B * L, D), self.inconv.weight[:, :, 0, 0], self.inconv.bias)  # (B * L, D)
        return self.drop_features(relu(self.bn1(flat)).view(B, L, D))

    def look(self, a: Tensor, e: Tensor | None, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the head looks (B, L), and what it sees there (B, D)."""
        if e is None:
            alpha = torch.full_like(a[..., 0], 1 / a.shape[1])  # (B, L)
        else:
            eh = self.drop_attention(relu(e + self.eh1(h).unsqueeze(-1)))  # (B, L, D): one number a location
            alpha = torch.softmax(self.eh3(eh).squeeze(-1), dim=1)  # (B, L)
        return alpha, torch.bmm(alpha.unsqueeze(1), a).squeeze(1)  # (B, D)

    def regress(self, h: Tensor) -> Tensor:
        """Compute f_m (B,) of h (B, H), with one hidden layer, of 512 in the authors' code."""
        with torch.autocast(h.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            h = h.to(self.regnet4.weight.dtype)
            return self.regnet4(self.drop_regress(relu(self.regnet1(h)))).squeeze(-1)  # (B,)
