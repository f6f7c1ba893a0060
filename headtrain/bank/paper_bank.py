"""Equations (3) to (12) for N heads at once; see `headtrain.paper_head`, whose numbers and letters these are."""

import torch
from torch import Tensor
from torch.nn.functional import relu

from headtrain.bank.bank import Bank
from headtrain.bank.layers import dropped, lstm_cell
from headtrain.head import Output, put_together


class PaperBank(Bank):
    """Heads of the paper. K x is one product for all heads, or one for each where dropout makes their x differ."""

    def forward(self, x: Tensor) -> Output:
        x = self.prepare(x)  # (B, L, D), or (N, B, L, D) where a head drops features
        mean = x.mean(-2)  # ([N,] B, D)
        h = torch.tanh(self.linear("init_h", mean))  # (12), (N, B, H)
        kx = self.project(x) if self.config.attention else None  # (N, B, L, D)
        if self.config.steps == 0:
            a, z = self.look(x, kx, h)  # (N, B, L), (N, B, D)
            return put_together([self.regress(z)], [a], self.config.output)
        c = torch.tanh(self.linear("init_c", mean))  # (12), (N, B, H)
        weights = self.lstm_weights("lstm")
        steps, attention = [], []
        for _ in range(self.config.steps):
            a, z = self.look(x, kx, h)  # (N, B, L), (N, B, D)
            h, c = lstm_cell(z, (h, c), weights)  # (3)
            attention.append(a)
            steps.append(self.regress(h))  # (10), (N, B)
        return put_together(steps, attention, self.config.output)

    def prepare(self, x: Tensor) -> Tensor:
        """Standardised with the statistics of the training list, which all heads share; each head's own dropout."""
        if self.config.standardise:
            x = (x - self.buffers["input_mean"][0]) / self.buffers["input_std"][0]
        return dropped(x, self.dropouts("drop_features"), x.shape)

    def project(self, x: Tensor) -> Tensor:
        """K x + b, which is the same at every step."""
        B, L, D = x.shape[-3:]
        kx = self.linear("attention.K", x.flatten(-3, -2))  # (N, B * L, D)
        return (kx + self.parameters["attention.b"].unsqueeze(1)).view(-1, B, L, D)

    def look(self, x: Tensor, kx: Tensor | None, h: Tensor) -> tuple[Tensor, Tensor]:
        """Where each head looks, a (N, B, L), and what it sees there, z (N, B, D)."""
        if kx is None:
            a = h.new_full((*h.shape[:2], x.shape[-2]), 1 / x.shape[-2])  # (9), (N, B, L)
        else:
            seen = torch.tanh(self.linear("attention.U", h).unsqueeze(2) + kx)  # (N, B, L, D)
            seen = dropped(seen, self.dropouts("attention.dropout"), seen.shape[1:])
            e = (self.parameters["attention.M"].unsqueeze(1) * seen).sum(-1)  # (8), (N, B, L)
            a = torch.softmax(e, dim=-1)  # (6), (N, B, L)
        return a, (a.unsqueeze(2) @ x).squeeze(2)  # (4), (N, B, D)

    def regress(self, h: Tensor) -> Tensor:
        """f_m of (10), (N, B)."""
        dropouts = self.dropouts("regress.dropout")
        hidden = relu(self.linear("regress.hidden", dropped(h, dropouts, h.shape[1:])))  # (N, B, hidden)
        return self.linear("regress.out", dropped(hidden, dropouts, hidden.shape[1:])).squeeze(-1)
