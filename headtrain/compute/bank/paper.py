"""Equations (3) to (12) for N heads at once; see `headtrain.heads.paper`, whose numbers and letters these are."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import relu

from headtrain.compute.bank.bank import Bank, DropoutSite, Noise
from headtrain.compute.bank.layers import dropped, lstm_cell, recomputed
from headtrain.heads.head import Output, put_together


def energies(M: Tensor, uh: Tensor, kx: Tensor, factors: Tensor | None) -> Tensor:
    """Compute (8), e = sum_D(M * tanh(U h + K x + b)), (N, B, L), of M (N, L, D), U h (N, B, D), K x + b (N, B, L, D).

    Compiled it is one loop over K x, and one more in the backward pass: no (N, B, L, D) is written for a step.
    """
    seen = dropped(torch.tanh(uh.unsqueeze(2) + kx), factors)  # (N, B, L, D)
    return (M.unsqueeze(1) * seen).sum(-1)


class PaperBank(Bank):
    """Compute heads of the paper. K x is one product for all heads, or one each where dropout makes their x differ."""

    def dropout_sites(self) -> list[DropoutSite]:
        config = self.config
        look: list[DropoutSite] = (
            [("attention.dropout", (config.locations, config.channels))] if config.attention else []
        )
        read = config.hidden if config.steps else config.channels
        regress: list[DropoutSite] = [("regress.dropout", (read,)), ("regress.dropout", (config.regress_hidden,))]
        return [("drop_features", (config.locations, config.channels)), *(look + regress) * config.outputs]

    def forward(self, x: Tensor, noise: Noise) -> Output:
        drawn = iter(noise)
        x = dropped(self.standardise(x), next(drawn))  # (B, L, D), or (N, B, L, D) where a head drops features
        mean = x.mean(-2)  # ([N,] B, D)
        h = torch.tanh(self.linear("init_h", mean))  # (12), (N, B, H)
        kx = self.project(x) if self.config.attention else None  # (N, B, L, D)
        if self.config.steps == 0:
            a, z = self.look(x, kx, h, drawn)  # (N, B, L), (N, B, D)
            return put_together([self.regress(z, drawn)], [a], self.config.output)
        c = torch.tanh(self.linear("init_c", mean))  # (12), (N, B, H)
        weights = self.lstm_weights("lstm")
        steps, attention = [], []
        for _ in range(self.config.steps):
            a, z = self.look(x, kx, h, drawn)  # (N, B, L), (N, B, D)
            h, c = lstm_cell(z, (h, c), weights)  # (3)
            attention.append(a)
            steps.append(self.regress(h, drawn))  # (10), (N, B)
        return put_together(steps, attention, self.config.output)

    def standardise(self, x: Tensor) -> Tensor:
        """Standardise x, if so configured, with the statistics of the training list, which all heads share."""
        if not self.config.standardise:
            return x
        return (x - self.buffers["input_mean"][0]) / self.buffers["input_std"][0]

    def project(self, x: Tensor) -> Tensor:
        """Return K x + b (N, B, L, D), which is the same at every step."""
        B, L, D = x.shape[-3:]
        kx = self.linear("attention.K", x.flatten(-3, -2))  # (N, B * L, D)
        return (kx + self.parameters["attention.b"].unsqueeze(1)).view(-1, B, L, D)

    def look(self, x: Tensor, kx: Tensor | None, h: Tensor, drawn: Iterator[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Return where each head looks, a (N, B, L), and what it sees there, z (N, B, D)."""
        if kx is None:
            a = h.new_full((*h.shape[:2], x.shape[-2]), 1 / x.shape[-2])  # (9), (N, B, L)
        else:
            uh = self.linear("attention.U", h)  # (N, B, D)
            e = recomputed(energies, self.parameters["attention.M"], uh, kx, next(drawn))  # (N, B, L)
            a = torch.softmax(e, dim=-1)  # (6), (N, B, L)
        return a, (a.unsqueeze(2) @ x).squeeze(2)  # (4), (N, B, D)

    def regress(self, h: Tensor, drawn: Iterator[Tensor | None]) -> Tensor:
        """Compute f_m of (10), (N, B)."""
        with torch.autocast(h.device.type, enabled=False):  # as `Regression`
            h = h.to(self.parameters["regress.out.weight"].dtype)
            hidden = relu(self.linear("regress.hidden", dropped(h, next(drawn))))  # (N, B, hidden)
            return self.linear("regress.out", dropped(hidden, next(drawn))).squeeze(-1)
