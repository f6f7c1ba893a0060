"""One head, one split: trained, stopped early by validation, tested once with the best checkpoint."""

import math
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.seeds import derived_seed
from headtrain.averaging import RunningAverage
from headtrain.batches import epoch_picks, ordered_picks, scales_on, to_floats
from headtrain.checkpoint import BEST, LAST, METRICS, Provenance, load_head, save_head, write_json
from headtrain.head import Head
from headtrain.losses import attention_penalty, squared_error
from headtrain.metrics import Metrics, evaluate
from headtrain.parts import Part, Parts
from headtrain.prediction import predict_picks
from headtrain.presets import Config
from headtrain.runlog import EpochLog, new_run_folder
from headtrain.statistics import channel_statistics, target_statistics

CPU_CHUNK = 32  # images a backward pass on a CPU: the (B, L, D) temporaries of a whole batch leave its cache


@dataclass(frozen=True)
class Epoch:
    """One line of the log."""

    epoch: int
    squared_error: float  # first term of (13), mean over the epoch, on the training scale
    penalty: float  # (14, 15), before lambda
    val_rho: float
    val_mse: float  # on the data's scale
    seconds: float
    best: bool  # the highest validation rho so far


@dataclass(frozen=True)
class Result:
    """What is known at the end of a run."""

    best: Epoch
    epochs: int  # trained, the best one and those after it
    test: Metrics  # of the best checkpoint
    seconds: float


def build_head(collection: Collection, part: Part, config: Config) -> Head:
    """A fresh head with the statistics of the training part. Its parameters depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("init", config.training.seed))
        head = Head(config.head)
    mean, scale = target_statistics(part.scores)
    head.target_mean.fill_(mean)
    head.target_scale.fill_(scale)
    if config.head.standardise:
        channel_mean, channel_std = channel_statistics(collection, part.rows)
        head.input_mean.copy_(channel_mean)
        head.input_std.copy_(channel_std)
    return head


def train(
    collection: Collection, parts: Parts, config: Config, split: int, run: Path, device: str = "cpu", check: bool = True
) -> Generator[Epoch, None, Result]:
    """Train into the folder `run`: yields each epoch when it is on disk, returns the result.

    `check`: compare every training view with its checksum; evaluation always does.

    Raises OutputError if the folder exists or cannot be written.
    """
    started = time.monotonic()
    head = build_head(collection, parts.train, config).to(device)
    settings = config.training
    optimiser = torch.optim.Adam(head.parameters(), settings.learning_rate, weight_decay=settings.l2)
    average = RunningAverage(head, settings.weight_average)
    best = None
    new_run_folder(run)
    with EpochLog(run) as log:
        for number in range(1, settings.epochs + 1):
            begun = time.monotonic()
            error, penalty = train_epoch(head, optimiser, average, collection, parts.train, config, number, check)
            val = evaluate_part(average.head, collection, parts.val)
            improved = best is None or rank(val.rho) > rank(best.val_rho)
            epoch = Epoch(number, error, penalty, val.rho, val.mse, time.monotonic() - begun, improved)
            provenance = Provenance(config, collection.spec, split, number)
            save_head(run / LAST, average.head, provenance)
            if improved:
                best = epoch
                save_head(run / BEST, average.head, provenance)
            log.write(epoch)
            yield epoch
            if best and number - best.epoch >= settings.patience:
                break
    assert best
    test = evaluate_part(load_head(run, device), collection, parts.test)
    result = Result(best, number, test, time.monotonic() - started)
    write_json(run / METRICS, metrics_json(result, parts, collection))
    return result


def rank(rho: float) -> float:
    """`rho` for comparing epochs: that of constant predictions is worse than any."""
    return -2.0 if math.isnan(rho) else rho


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
    """One pass over the training images; the means of squared error and attention penalty."""
    head.train()
    device, settings = head.target_mean.device, config.training
    target = torch.as_tensor((part.scores - head.target_mean.item()) * head.target_scale.item()).float().to(device)
    sums = np.zeros(2)
    picks = epoch_picks(part.rows, collection.views, settings.seed, number, settings.batch_size)
    scales = scales_on(device, collection)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed("dropout", settings.seed, number))
        for batch, features in collection.batches(picks, check=check):
            optimiser.zero_grad()
            sums += backward(head, torch.from_numpy(features), scales, target[batch.places], settings.penalty)
            optimiser.step()
            average.update(head)
    error, penalty = (sums / len(part.rows)).tolist()
    return error, penalty


def backward(head: Head, features: Tensor, scales: Tensor | None, target: Tensor, penalty_weight: float) -> np.ndarray:
    """Gradients of (13) over a batch, features (n, 14, 14, D) as stored, added up in chunks.

    Returns the sums over the batch of squared error and penalty.
    """
    device, sums = target.device, np.zeros(2)
    chunk = CPU_CHUNK if device.type == "cpu" else len(features)
    for x, y in zip(features.split(chunk), target.split(chunk), strict=True):
        output = head(to_floats(x.to(device, non_blocking=True), scales))  # of (n, L, D)
        error, penalty = squared_error(output, y), attention_penalty(output)
        ((error + penalty_weight * penalty) * (len(x) / len(features))).backward()
        sums += len(x) * np.array([error.item(), penalty.item()])
    return sums


def evaluate_part(head: Head, collection: Collection, part: Part, batch_size: int = 64) -> Metrics:
    """Metrics of the head on view 0 of the part's images."""
    picks = ordered_picks(part.rows, 0, batch_size)
    predicted = [output.score.numpy() for _, output in predict_picks(head, collection, picks)]
    return evaluate(np.concatenate(predicted), part.scores)


def metrics_json(result: Result, parts: Parts, collection: Collection) -> dict[str, object]:
    """The content of metrics.json."""
    named = (("train", parts.train), ("val", parts.val), ("test", parts.test))
    return {
        "test": result.test.as_dict(),
        "best": asdict(result.best),
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "selected_on": parts.selection,
        "images": {name: len(part.rows) for name, part in named},
        "left_out": {name: part.left_out for name, part in named},
        "features": str(collection.path),
        "fingerprint": collection.spec.fingerprint,
    }
