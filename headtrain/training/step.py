"""One update of all heads of a bank by one batch: gradients, added up over chunks, then Adam and the averages."""

import torch
from torch import Tensor

from headtrain.compute.bank.bank import Bank
from headtrain.compute.kernels import Forward, Kernels, forward_of
from headtrain.training.losses import Penalties, loss_terms
from headtrain.training.pass_size import chunk_size
from headtrain.training.updates import Updates


class Step:
    """Train the heads of a bank by batches of one size at most, `batch`; `scales` (D,) are of uint8 codes.

    Nothing in it waits for a GPU. `sums` (N, 2) float32 are of squared error and attention penalty over all images
    since `begin_epoch`.
    """

    def __init__(
        self, bank: Bank, updates: Updates, penalties: Penalties, kernels: Kernels, scales: Tensor | None, batch: int
    ) -> None:
        self.bank, self.updates, self.penalties, self.scales = bank, updates, penalties, scales
        self.size = chunk_size(bank.heads[0], batch, bank.device, len(bank.heads))
        self.forward = forward_of(bank, kernels, self.size)
        self.sums = torch.zeros(len(bank.heads), 2, device=bank.device)

    @property
    def places(self) -> int:
        """Return how many places of dropout a forward pass has."""
        return len(self.bank.places(self.size))

    def __call__(self, stored: Tensor, targets: Tensor, keys: Tensor) -> None:
        """Take one step by stored views (n, 14, 14, D), targets (N, n) and the step's keys (N, places, 2)."""
        self.bank.zero_grad()
        self.sums += backward(self.forward, stored, self.scales, targets, self.penalties, keys, self.size)
        self.updates.step()


def backward(
    forward: Forward, stored: Tensor, scales: Tensor | None, targets: Tensor, penalties: Penalties, keys: Tensor,
    size: int,
) -> Tensor:  # fmt: skip
    """Compute the gradients of (13) over a batch, added up in chunks of `size` images.

    `stored` (n, 14, 14, D), `scales` (D,) of uint8 codes, `targets` (N, n) float32, `keys` (N, places, 2) int32.
    Returns (N, 2) float32: sums over the batch of squared error and attention penalty.
    """
    sums = targets.new_zeros(len(targets), 2)
    image = torch.arange(len(stored), dtype=torch.int32, device=targets.device)
    for x, y, i in zip(stored.split(size), targets.split(size, dim=1), image.split(size), strict=True):
        error, penalty, loss = loss_terms(forward(x, scales, keys, i), y, penalties)  # (N,) each
        (loss.sum() * (len(x) / len(stored))).backward()  # no head's loss depends on another's parameters
        sums += len(x) * torch.stack([error, penalty], dim=1).detach()
    return sums
