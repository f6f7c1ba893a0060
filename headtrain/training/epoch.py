"""One pass of a bank over the training images, and one of heads over the images of a subset that is evaluated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headtrain.compute.bank.dropout import keys_of
from headtrain.compute.inference import predict_picks
from headtrain.features.arriving import arriving
from headtrain.features.batches import Picks, Source, epoch_picks, ordered_picks
from headtrain.features.splits import Subset
from headtrain.heads.head import Head
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.planned import Setup
from headtrain.training.team import Team


def train_epoch(team: Team, setup: Setup, number: int) -> np.ndarray:
    """Train a team's heads in one pass over the training images: epoch `number`, from 1.

    Returns (n, 2) float64 for the members who are going: their means of squared error and attention penalty over what
    was shown. Raises CollectionError for damaged features, if `setup.check`.
    """
    work, source = team.work, setup.read_from
    assert work, "somebody is going"
    picks = epoch_picks(setup.subsets.train.rows, source.views, work.settings[0], number)
    for head in work.bank.heads:
        head.train()
    work.updates.begin_epoch(number)
    work.step.sums.zero_()
    keys = epoch_keys(work.settings, number, len(picks), work.step.places).to(work.bank.device)  # (steps, N, places, 2)
    shown, stop = targets_of(work.targets, picks), 0  # (N, what an epoch shows)
    for step, (batch, stored) in enumerate(arriving(source.batches(picks, check=setup.check), work.bank.device)):
        start, stop = stop, stop + len(batch.rows)
        work.train(stored, shown[:, start:stop], keys[step])
    work.updates.end_epoch()
    return work.step.sums.cpu().double().numpy()[team.rows] / stop


def epoch_keys(settings: Sequence[TrainingConfig], epoch: int, steps: int, places: int) -> Tensor:
    """Return the keys of the dropout of N heads in one epoch, (steps, N, places, 2) int32."""
    return torch.from_numpy(np.stack([keys_of(one.seed, epoch, steps, places) for one in settings], axis=1))


def targets_of(targets: Tensor, picks: Sequence[Picks]) -> Tensor:
    """Return the targets (N, n) of the images in the order in which an epoch shows them."""
    order = torch.from_numpy(np.concatenate([batch.positions for batch in picks]))
    return targets[:, order.to(targets.device)]


def predict_subset(
    heads: Sequence[Head], source: Source, subset: Subset, view: int, batch_size: int = 64
) -> np.ndarray:
    """Compute the scores (N, n) float64 that each head gives the subset's images in one view, which is read once.

    On the data's scale. Raises CollectionError for damaged features.
    """
    picks = ordered_picks(subset.rows, view, batch_size)
    scores = [torch.stack([output.score for output in outputs])
              for _, outputs in predict_picks(heads, source, picks)]  # (N, b) each  # fmt: skip
    return torch.cat(scores, dim=1).cpu().numpy().astype(np.float64)
