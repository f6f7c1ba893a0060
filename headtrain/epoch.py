"""One pass over the training images, and one over the images of a list that is evaluated."""

import math

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.seeds import derived_seed
from headtrain.averaging import RunningAverage
from headtrain.batches import epoch_picks, ordered_picks, scales_on, to_floats
from headtrain.configuration import Config, TrainingConfig
from headtrain.dropout import set_noise
from headtrain.head import Head
from headtrain.losses import penalties, squared_error
from headtrain.parts import Part
from headtrain.prediction import predict_picks

CPU_CHUNK = 32  # images a backward pass on a CPU: the (B, L, D) temporaries of a whole batch leave its cache


def learning_rate_at(settings: TrainingConfig, epoch: int) -> float:
    """The learning rate of epoch 1, 2, ...: constant, half a cosine down to nearly 0, or in steps."""
    if settings.lr_schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
    if settings.lr_schedule == "step":
        return settings.learning_rate * settings.lr_factor ** ((epoch - 1) // settings.lr_step)
    return settings.learning_rate


def train_epoch(
    head: Head,
    optimiser: torch.optim.Optimizer,
    average: RunningAverage,
    collection: Collection,
    part: Part,
    config: Config,
    number: int,
    check: bool = True,
) -> tuple[float, float]:
    """One pass over the training images; the means of squared error and attention penalty over what was shown."""
    head.train()
    device, settings = head.target_mean.device, config.training
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_at(settings, number)
    target = torch.as_tensor((part.scores - head.target_mean.item()) * head.target_scale.item()).float().to(device)
    sums = np.zeros(2)
    picks = epoch_picks(part.rows, collection.views, settings, number)
    scales = scales_on(device, collection)
    set_noise(head, torch.Generator(device).manual_seed(derived_seed("dropout", settings.seed, number)))
    for batch, features in collection.batches(picks, check=check):
        optimiser.zero_grad()
        sums += backward(head, torch.from_numpy(features), scales, target[batch.places], settings)
        optimiser.step()
        average.update(head)
    error, penalty = (sums / sum(len(batch.rows) for batch in picks)).tolist()
    return error, penalty


def backward(
    head: Head, features: Tensor, scales: Tensor | None, target: Tensor, settings: TrainingConfig
) -> np.ndarray:
    """Gradients of (13) over a batch, features (n, 14, 14, D) as stored, added up in chunks.

    Returns the sums over the batch of squared error and attention penalty.
    """
    device, sums = target.device, np.zeros(2)
    for x, y in zip(*(whole.split(chunk_size(head, len(features))) for whole in (features, target)), strict=True):
        output = head(to_floats(x.to(device, non_blocking=True), scales))  # of (n, L, D)
        error, (penalty, added) = squared_error(output, y), penalties(output, settings)
        ((error + added) * (len(x) / len(features))).backward()
        sums += len(x) * np.array([error.item(), penalty.item()])
    return sums


def chunk_size(head: Head, batch: int) -> int:
    """Images a backward pass. BatchNorm wants the whole batch: its statistics are those of what it sees at once."""
    whole = head.target_mean.device.type != "cpu" or head.config.architecture == "released"
    return batch if whole else CPU_CHUNK


def predict_part(head: Head, collection: Collection, part: Part, view: int, batch_size: int = 64) -> np.ndarray:
    """(n,) float64: the head's scores of the part's images in one view."""
    picks = ordered_picks(part.rows, view, batch_size)
    predicted = [output.score.numpy() for _, output in predict_picks(head, collection, picks)]
    return np.concatenate(predicted).astype(np.float64)
