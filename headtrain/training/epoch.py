"""One pass of a bank over the training images, and one of heads over the images of a subset that is evaluated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headtrain.compute.bank.dropout import keys_of
from headtrain.compute.inference import predict_picks
from headtrain.compute.kernels import Forward, forward_of
from headtrain.features.arriving import arriving
from headtrain.features.batches import Picks, Source, epoch_picks, ordered_picks, scales_on
from headtrain.features.splits import Subset
from headtrain.heads.head import Head
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.losses import Penalties, loss_terms
from headtrain.training.planned import Setup
from headtrain.training.team import Team

# images a backward pass on a CPU, however many heads: (n, L, D) temporaries of more would leave its cache
CHUNK = 64


def train_epoch(team: Team, setup: Setup, number: int) -> np.ndarray:
    """Train a team's heads in one pass over the training images: epoch `number`, from 1.

    Returns (n, 2) float64 for the members who are going: their means of squared error and attention penalty over what
    was shown. Raises CollectionError for damaged features, if `setup.check`.
    """
    bank, source = team.bank, setup.read_from
    picks = epoch_picks(setup.subsets.train.rows, source.views, team.settings[0], number)
    scales = scales_on(bank.device, source)
    size = chunk_size(bank.heads[0], len(picks[0].rows))
    forward = forward_of(bank, setup.kernels, size)
    for head in bank.heads:
        head.train()
    team.updates.begin_epoch(number)
    keys = epoch_keys(team.settings, number, len(picks), len(bank.places(size))).to(
        bank.device
    )  # (steps, N, places, 2)
    shown = targets_of(team.targets, picks)  # (N, what an epoch shows)
    sums = torch.zeros(len(bank.heads), 2, device=bank.device)
    stop = 0
    for step, (batch, stored) in enumerate(arriving(source.batches(picks, check=setup.check), bank.device)):
        start, stop = stop, stop + len(batch.rows)
        bank.zero_grad()
        sums += backward(forward, stored, scales, shown[:, start:stop], team.penalties, keys[step], size)
        team.updates.step()
    team.updates.end_epoch()
    return team.of_going(sums).cpu().double().numpy() / stop


def epoch_keys(settings: Sequence[TrainingConfig], epoch: int, steps: int, places: int) -> Tensor:
    """Return the keys of the dropout of N heads in one epoch, (steps, N, places, 2) int32."""
    return torch.from_numpy(np.stack([keys_of(one.seed, epoch, steps, places) for one in settings], axis=1))


def targets_of(targets: Tensor, picks: Sequence[Picks]) -> Tensor:
    """Return the targets (N, n) of the images in the order in which an epoch shows them."""
    order = torch.from_numpy(np.concatenate([batch.positions for batch in picks]))
    return targets[:, order.to(targets.device)]


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


def chunk_size(head: Head, batch: int) -> int:
    """Return how many images a backward pass takes.

    BatchNorm needs the whole batch: its statistics are those of what it sees at once.
    """
    return batch if head.whole_batch else min(batch, CHUNK)


def predict_subset(
    heads: Sequence[Head], source: Source, subset: Subset, view: int, batch_size: int = 64
) -> np.ndarray:
    """Compute the scores (N, n) float64 that each head gives the subset's images in one view, which is read once.

    On the data's scale. Raises CollectionError for damaged features.
    """
    picks = ordered_picks(subset.rows, view, batch_size)
    scores = [np.stack([output.score.numpy() for output in outputs])
              for _, outputs in predict_picks(heads, source, picks)]  # (N, b) each  # fmt: skip
    return np.concatenate(scores, axis=1).astype(np.float64)
