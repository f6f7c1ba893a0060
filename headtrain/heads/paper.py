"""The head as the paper prints it: soft attention, an LSTM of T steps, a regression network; y = sum_t m_t.

Letters: B batch, L locations (196), D channels (1024), H hidden size (1024), T steps (3). Numbers in brackets are the
paper's equations (Fajtl et al., CVPR 2018); parameters carry the paper's letters.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from headtrain.heads.dropout import Dropout
from headtrain.heads.head import Head, Output, put_together
from headtrain.settings.configuration import HeadConfig


class Attention(nn.Module):
    """Compute equation (8), e = sum_D(M * tanh(U h + K x + b)). Where its dropout stands is an assumption."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.K = nn.Linear(config.channels, config.channels, bias=False)
        self.U = nn.Linear(config.hidden, config.channels, bias=False)
        self.b = nn.Parameter(torch.zeros(config.channels))
        self.M = nn.Parameter(torch.zeros(config.locations, config.channels))  # a new head looks everywhere alike
        self.dropout = Dropout(config.attention_dropout)

    def project(self, x: Tensor) -> Tensor:
        """Return K x + b (B, L, D), which is the same at every step."""
        return self.K(x) + self.b  # (B, L, D)

    def forward(self, h: Tensor, kx: Tensor) -> Tensor:
        return (self.M * self.dropout(torch.tanh(self.U(h).unsqueeze(1) + kx))).sum(-1)  # (B, L)


class Regression(nn.Module):
    """Compute f_m of (10) with one hidden layer. Its width and its dropout are assumptions."""

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, config.regress_hidden)
        self.out = nn.Linear(config.regress_hidden, 1)
        self.dropout = Dropout(config.regress_dropout)
        for parameter in self.out.parameters():  # a new head says the mean score, and not a random function's value
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor) -> Tensor:
        with torch.autocast(h.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            h = h.to(self.out.weight.dtype)
            return self.out(self.dropout(relu(self.hidden(self.dropout(h))))).squeeze(-1)  # (B,)


class PaperHead(Head):
    """Compute equations (3) to (12). Assumption: a new head starts with M = 0 (it looks everywhere alike) and a last
    layer of zeros (it says the mean score); the paper does not give its initialisation.

    With T = 0, as in the authors' code, there is no LSTM: f_m reads z of one look, whose h is h0.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.drop_features = Dropout(config.feature_dropout, config.feature_dropout_unit)
        self.attention = Attention(config) if config.attention else None
        self.init_h = nn.Linear(config.channels, config.hidden)
        if config.steps:
            self.init_c = nn.Linear(config.channels, config.hidden)
            self.lstm = nn.LSTMCell(config.channels, config.hidden)
        self.regress = Regression(config.hidden if config.steps else config.channels, config)
        self.register_buffer("input_mean", torch.zeros(config.channels))
        self.register_buffer("input_std", torch.ones(config.channels))

    @classmethod
    def arrays_at_peak(cls, config: HeadConfig) -> int:
        """Return how many (n, L, D) arrays a backward pass holds at its peak."""
        if not config.attention:
            return 3
        return 6 + (1 + 2 * (config.attention_dropout > 0)) * config.outputs

    def forward(self, x: Tensor) -> Output:
        x = self.prepare(x)  # (B, L, D)
        mean = x.mean(1)  # (B, D)
        h = torch.tanh(self.init_h(mean))  # (12), (B, H)
        kx = self.attention.project(x) if self.attention else None  # (B, L, D)
        if self.config.steps == 0:
            a, z = self.look(x, kx, h)  # (B, L), (B, D)
            return put_together([self.regress(z)], [a], self.config.output)
        c = torch.tanh(self.init_c(mean))  # (12), (B, H)
        steps, attention = [], []
        for _ in range(self.config.steps):
            a, z = self.look(x, kx, h)  # (B, L), (B, D)
            h, c = self.lstm(z, (h, c))  # (3)
            attention.append(a)
            steps.append(self.regress(h))  # (10), (B,)
        return put_together(steps, attention, self.config.output)

    def look(self, x: Tensor, kx: Tensor | None, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the head looks, a (B, L), and what it sees there, z (B, D)."""
        e = self.attention(h, kx) if self.attention else torch.ones_like(x[..., 0])  # (8) or (9), (B, L)
        a = torch.softmax(e, dim=1)  # (6), (B, L)
        return a, torch.bmm(a.unsqueeze(1), x).squeeze(1)  # (4), (B, D)

    def prepare(self, x: Tensor) -> Tensor:
        """Turn raw features (B, L, D) into the head's input: channels standardised if so configured, then dropout."""
        return self.drop_features(self.standardised(x))
