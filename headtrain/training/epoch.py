"""One pass of a bank over the training images, and one of heads over the images of a subset that is evaluated."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from amnet_common.seeds import derived_seed
from headtrain.compute.bank.bank import Bank
from headtrain.compute.inference import predict_picks
from headtrain.compute.kernels import Forward, forward_of
from headtrain.features.batches import Source, epoch_picks, ordered_picks, scales_on
from headtrain.features.splits import Subset
from headtrain.heads.head import Head
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.losses import loss_terms
from headtrain.training.member import Member
from headtrain.training.planned import Setup

# images a backward pass, however many heads: (n, L, D) temporaries of a whole batch and many heads would not fit in a
# GPU. A head's dropout depends on it
CHUNK = 64


def learning_rate_at(settings: TrainingConfig, epoch: int) -> float:
    """Return the learning rate of epoch 1, 2, ...: constant, half a cosine down to nearly 0, or in steps."""
    if settings.lr_schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
    if settings.lr_schedule == "step":
        return settings.learning_rate * settings.lr_factor ** ((epoch - 1) // settings.lr_step)
    return settings.learning_rate


def train_epoch(bank: Bank, members: Sequence[Member], setup: Setup, number: int) -> np.ndarray:
    """Train the bank's heads, those of `members`, in one pass over the training images: epoch `number`, from 1.

    Returns (N, 2) float64: each head's means of squared error and attention penalty over what was shown. Raises
    CollectionError for damaged features, if `setup.check`.
    """
    settings = [member.config.training for member in members]
    source, subset = setup.read_from, setup.subsets.train
    picks, scales = epoch_picks(subset.rows, source.views, settings[0], number), scales_on(bank.device, source)
    size = chunk_size(members[0].head, len(picks[0].rows))
    forward = forward_of(bank, setup.kernels, size)
    bank.generators = [prepared(member, number) for member in members]
    targets = torch.stack([member.targets(subset.scores) for member in members])  # (N, n)
    sums = torch.zeros(len(members), 2, device=bank.device)
    for batch, features in source.batches(picks, check=setup.check):
        bank.zero_grad()
        sums += backward(forward, torch.as_tensor(features), scales, targets[:, batch.positions], settings, size)
        for member in members:
            member.update()
    return sums.double().cpu().numpy() / sum(len(batch.rows) for batch in picks)


def prepared(member: Member, number: int) -> Generator:
    """Set training mode and the learning rate of epoch `number`, from 1; return the source of its dropout."""
    head, settings = member.head.train(), member.config.training
    for group in member.optimiser.param_groups:
        group["lr"] = learning_rate_at(settings, number)
    return torch.Generator(head.target_mean.device).manual_seed(derived_seed("dropout", settings.seed, number))


def backward(
    forward: Forward, features: Tensor, scales: Tensor | None, targets: Tensor, settings: Sequence[TrainingConfig],
    size: int,
) -> Tensor:  # fmt: skip
    """Compute the gradients of (13) over a batch, added up in chunks of `size` images.

    `features` (n, 14, 14, D) as stored, `scales` (D,) of uint8 codes, `targets` (N, n) float32. Returns (N, 2) float32:
    sums over the batch of squared error and attention penalty.
    """
    sums = targets.new_zeros(len(targets), 2)
    for x, y in zip(features.split(size), targets.split(size, dim=1), strict=True):
        output = forward(x.to(targets.device, non_blocking=True), scales)
        error, penalty, loss = loss_terms(output, y, settings)  # (N,) each
        (loss.sum() * (len(x) / len(features))).backward()  # no head's loss depends on another's parameters
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
