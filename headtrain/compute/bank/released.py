"""The authors' published network for N heads at once; see `headtrain.heads.released`, whose names these are."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, relu

from headtrain.compute.bank.bank import Bank, DropoutSite, Noise
from headtrain.compute.bank.layers import dropped, linear, lstm_cell
from headtrain.heads.head import Output, put_together


class ReleasedBank(Bank):
    """Compute heads of the authors' code, in training: BatchNorm takes each head's statistics from the batch."""

    def dropout_sites(self) -> list[DropoutSite]:
        config = self.config
        seen = config.locations, config.channels
        attend: list[DropoutSite] = [("drop_attention", seen)] if config.attention else []
        regress: list[DropoutSite] = [("drop_regress", (config.hidden,)), ("drop_regress", (config.regress_hidden,))]
        return [("drop_features", seen), *attend, *(attend + regress) * config.outputs]

    def forward(self, x: Tensor, noise: Noise) -> Output:
        drawn = iter(noise)
        a = dropped(self.prepare(x), next(drawn))  # (N, B, L, D)
        mean = a.mean(2)  # (N, B, D)
        h, c = torch.tanh(self.linear("hs1", mean)), torch.tanh(self.linear("hc1", mean))  # (N, B, H) each
        state = h, c
        e = dropped(self.attend(a), next(drawn)) if self.config.attention else None  # (N, B, L, D), once for all steps
        weights = self.lstm_weights("rnn", "_l0")
        steps, attention = [], []
        for _ in range(self.config.outputs):
            alpha, z = self.look(a, e, h, drawn)  # (N, B, L), (N, B, D)
            if self.config.steps:
                state = lstm_cell(z, state, weights)  # the state itself is not dropped out of
                z = state[0]  # (N, B, H)
            h = dropped(z, next(drawn))  # feeds f_m and the next look
            attention.append(alpha)
            steps.append(self.regress(h, drawn))  # (N, B)
        return put_together(steps, attention, self.config.output)

    def prepare(self, x: Tensor) -> Tensor:
        """Return a = ReLU(BatchNorm(1x1 convolution)), (N, B, L, D)."""
        B, L, D = x.shape
        weight = self.parameters["inconv.weight"].flatten(2)  # (N, D, D)
        flat = linear(x.view(B * L, D), weight, self.parameters["inconv.bias"])  # (N, B * L, D)
        a = torch.stack([self.normalise(n, of_one) for n, of_one in enumerate(flat)])
        return relu(a).view(-1, B, L, D)

    def normalise(self, n: int, flat: Tensor) -> Tensor:
        """Apply the BatchNorm of head n to `flat` (B * L, D); its running statistics follow."""
        of_head = {name: tensors[n] for name, tensors in self.buffers.items()}
        of_head["bn1.num_batches_tracked"] += 1
        gain, shift = self.parameters["bn1.weight"][n], self.parameters["bn1.bias"][n]
        return batch_norm(flat, of_head["bn1.running_mean"], of_head["bn1.running_var"], gain, shift, training=True)

    def attend(self, a: Tensor) -> Tensor:
        """Return what the attention network makes of a itself, (N, B, L, D)."""
        N, B, L, D = a.shape
        return relu(self.linear("e1", a.view(N, B * L, D))).view(N, B, L, D)

    def look(self, a: Tensor, e: Tensor | None, h: Tensor, drawn: Iterator[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Return where each head looks (N, B, L), and what it sees there (N, B, D)."""
        if e is None:
            alpha = torch.full_like(a[..., 0], 1 / a.shape[2])  # (N, B, L)
        else:
            eh = dropped(relu(e + self.linear("eh1", h).unsqueeze(-1)), next(drawn))  # (N, B, L, D)
            alpha = torch.softmax((eh @ self.parameters["eh3.weight"].unsqueeze(1).mT).squeeze(-1), dim=-1)
        return alpha, (alpha.unsqueeze(2) @ a).squeeze(2)

    def regress(self, h: Tensor, drawn: Iterator[Tensor | None]) -> Tensor:
        """Compute f_m (N, B), with one hidden layer, of 512 in the authors' code."""
        with torch.autocast(h.device.type, enabled=False):  # as `ReleasedHead.regress`
            h = h.to(self.parameters["regnet4.weight"].dtype)
            return self.linear("regnet4", dropped(relu(self.linear("regnet1", h)), next(drawn))).squeeze(-1)
