"""One head, one split: trained, stopped early by validation, tested once with the best checkpoint."""

import hashlib
import math
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from amnet_common.seeds import derived_seed
from amnet_common.spec import canonical_json
from headtrain.architectures import new_head
from headtrain.averaging import RunningAverage
from headtrain.bootstrap import Interval, interval
from headtrain.checkpoint import BEST, LAST, Provenance, load_head, save_head
from headtrain.configuration import Config
from headtrain.epoch import predict_part, train_epoch
from headtrain.head import Head
from headtrain.metrics import Metrics, evaluate, finite, rank
from headtrain.paper_head import PaperHead
from headtrain.parts import Part, Parts
from headtrain.predictions import Predictions, write_predictions
from headtrain.resume import load_state, save_state
from headtrain.run_folder import METRICS, STATE, TEST, new_run_folder, refuse_other_run, write_json
from headtrain.run_log import Epoch, write_log
from headtrain.statistics import channel_statistics, target_statistics


@dataclass(frozen=True)
class Result:
    """What is known at the end of a run."""

    best: Epoch  # of the highest validation rho
    lowest_mse: Epoch  # of the lowest validation MSE, which the paper gives beside it
    epochs: int  # trained, the best one and those after it
    test: Metrics  # of the best checkpoint
    interval: Interval  # of the test rho, 95 %
    seconds: float  # of all epochs


def build_head(collection: Collection, part: Part, config: Config) -> Head:
    """A fresh head with the statistics of the training part. Its parameters depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("init", config.training.seed))
        head = new_head(config.head)
    mean, scale = target_statistics(part.scores)
    given = config.training
    head.target_mean.fill_(mean if given.target_mean is None else given.target_mean)
    head.target_scale.fill_(scale if given.target_scale is None else given.target_scale)
    if isinstance(head, PaperHead) and config.head.standardise:
        channel_mean, channel_std = channel_statistics(collection, part.rows)
        head.input_mean.copy_(channel_mean)
        head.input_std.copy_(channel_std)
    return head


def train(
    collection: Collection,
    parts: Parts,
    config: Config,
    split: int,
    run: Path,
    device: str = "cpu",
    check: bool = True,
    resume: bool = False,
) -> Generator[Epoch, None, Result]:
    """Train into the folder `run`: yields each epoch when it is on disk, returns the result.

    `check`: compare every training view with its checksum; evaluation always does. `resume`: go on with a run that
    was stopped; on the same machine, with as many threads, it ends with the weights of an undisturbed one.

    Raises OutputError if the folder exists (without `resume`) or cannot be written; RunError if what is to be resumed
    is another run; ConfigError for an evaluation view that the collection has not.
    """
    if config.training.eval_view >= collection.views:
        raise ConfigError(f"--eval-view: wanted a view in 0..{collection.views - 1} of {collection.path}, "
                          f"found {config.training.eval_view}")  # fmt: skip
    head = build_head(collection, parts.train, config).to(device)
    settings = config.training
    optimiser = torch.optim.Adam(head.parameters(), settings.learning_rate, weight_decay=settings.l2)
    average = RunningAverage(head, settings.weight_average)
    identity = identity_of(collection, parts, config, split)
    if resume and run.exists():
        refuse_other_run(run, identity)
    else:
        new_run_folder(run, identity | {"features": str(collection.path.absolute())}, config)
    epochs = load_state(run, head, optimiser, average)
    if epochs:
        publish(run, average.head, config, collection, split, epochs)  # a kill may have come between state and these
    while not finished(epochs, config):
        begun, number = time.monotonic(), len(epochs) + 1
        error, penalty = train_epoch(head, optimiser, average, collection, parts.train, config, number, check)
        val = evaluate(predict_part(average.head, collection, parts.val, settings.eval_view), parts.val.scores)
        improved = rank(val.rho) > max((rank(epoch.val_rho) for epoch in epochs), default=-math.inf)
        lower = val.mse < min((epoch.val_mse for epoch in epochs), default=math.inf)
        epochs.append(Epoch(number, error, penalty, val.rho, val.mse, time.monotonic() - begun, improved, lower))
        save_state(run, head, optimiser, average, epochs)
        publish(run, average.head, config, collection, split, epochs)
        yield epochs[-1]
    return finish(run, collection, parts, config, split, epochs, device)


def finished(epochs: list[Epoch], config: Config) -> bool:
    """Whether all epochs are trained, or patience is out."""
    best = max((epoch.epoch for epoch in epochs if epoch.best), default=0)
    return len(epochs) >= config.training.epochs or len(epochs) - best >= config.training.patience


def publish(run: Path, head: Head, config: Config, collection: Collection, split: int, epochs: list[Epoch]) -> None:
    """Checkpoints and log of the newest epoch."""
    provenance = Provenance(config, collection.spec.as_dict(), split, epochs[-1].epoch)
    if epochs[-1].best:
        save_head(run / BEST, head, provenance)
    save_head(run / LAST, head, provenance)
    write_log(run, epochs)


def finish(
    run: Path, collection: Collection, parts: Parts, config: Config, split: int, epochs: list[Epoch], device: str
) -> Result:
    """Test the best checkpoint, once, and write what came out."""
    predicted = predict_part(load_head(run, device), collection, parts.test, config.training.eval_view)
    predictions = Predictions(tuple(collection.ids[row] for row in parts.test.rows), predicted, parts.test.scores)
    best = [epoch for epoch in epochs if epoch.best][-1]
    lowest = [epoch for epoch in epochs if epoch.lowest_mse][-1] if any(e.lowest_mse for e in epochs) else best
    seconds = sum(epoch.seconds for epoch in epochs)
    test = evaluate(predicted, parts.test.scores)
    result = Result(best, lowest, len(epochs), test, interval(predictions), seconds)
    write_predictions(run / TEST, predictions)
    write_json(run / METRICS, metrics_json(result, parts, collection, config, split))
    (run / STATE).unlink(missing_ok=True)
    return result


def identity_of(collection: Collection, parts: Parts, config: Config, split: int) -> dict[str, Any]:
    """What makes two runs the same run: configuration, features, and each list's images with their scores."""
    lists = [
        [[collection.ids[row], score] for row, score in zip(part.rows.tolist(), part.scores.tolist(), strict=True)]
        for part in (parts.train, parts.val, parts.test)
    ]
    return {
        "config": config.as_dict(),
        "split": split,
        "selected_on": parts.selection,
        "fingerprint": collection.spec.fingerprint,
        "images": hashlib.sha256(canonical_json(lists).encode()).hexdigest(),
    }


def metrics_json(result: Result, parts: Parts, collection: Collection, config: Config, split: int) -> dict[str, object]:
    """The content of metrics.json."""
    named = (("train", parts.train), ("val", parts.val), ("test", parts.test))
    return {
        "preset": config.preset,
        "split": split,
        "test": result.test.as_dict(),
        "interval": [finite(result.interval.low), finite(result.interval.high)],
        "best": epoch_json(result.best),
        "lowest_mse": epoch_json(result.lowest_mse),
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "selected_on": parts.selection,
        "images": {name: len(part.rows) for name, part in named},
        "left_out": {name: part.left_out for name, part in named},
        "features": str(collection.path),
        "fingerprint": collection.spec.fingerprint,
    }


def epoch_json(epoch: Epoch) -> dict[str, object]:
    """An epoch as JSON values."""
    return {key: finite(value) for key, value in asdict(epoch).items()}
