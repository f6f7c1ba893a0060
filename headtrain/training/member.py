"""A head in training with all that belongs to it alone: optimiser, running average, log, checkpoints, folder."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.collection.spec import canonical_json
from amnet_common.seeds import derived_seed
from headtrain.compute.kernels import Kernels
from headtrain.evaluation.metrics import Metrics, ordering_key
from headtrain.features.splits import Subsets
from headtrain.features.statistics import Statistics, target_statistics
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import BEST, LAST, Tensors, save_head, save_tensors
from headtrain.heads.head import Head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.runs.folder import new_run_folder, refuse_other_run
from headtrain.runs.log import Epoch, write_log
from headtrain.settings.configuration import Config
from headtrain.training.averaging import RunningAverage
from headtrain.training.resume import load_state, save_state


class Job(NamedTuple):
    """A head to train, and the folder it goes to."""

    config: Config
    run: Path


@dataclass
class Member:
    """One head of a bank."""

    job: Job
    head: Head
    optimiser: torch.optim.Optimizer
    average: RunningAverage  # its head is what is evaluated and kept
    provenance: Provenance  # without the epoch
    epochs: list[Epoch] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)  # the average's state after the best epoch
    saved: int = 0  # epochs that stand in the folder

    @property
    def config(self) -> Config:
        """Of head and training."""
        return self.job.config

    @property
    def finished(self) -> bool:
        """Whether all epochs are trained, or patience is out."""
        best = max((epoch.epoch for epoch in self.epochs if epoch.best), default=0)
        settings, done = self.config.training, len(self.epochs)
        return done >= settings.epochs or done - best >= settings.patience

    def targets(self, scores: np.ndarray) -> Tensor:
        """Scores (n,) on the training scale, float32 on the head's device."""
        scaled = (scores - self.head.target_mean.item()) * self.head.target_scale.item()
        return torch.as_tensor(scaled).float().to(self.head.target_mean.device)

    def update(self) -> None:
        """Follow the gradients that are there: this head's alone, whatever trains beside it."""
        if self.config.training.clip:
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), self.config.training.clip)
        self.optimiser.step()
        self.average.update(self.head)

    def record(self, error: float, penalty: float, val: Metrics, seconds: float) -> Epoch:
        """Add an epoch to the log; `save` puts the rest on the disk."""
        improved = ordering_key(val.rho) > max(
            (ordering_key(epoch.val_rho) for epoch in self.epochs), default=-math.inf
        )
        lower = val.mse < min((epoch.val_mse for epoch in self.epochs), default=math.inf)
        number = len(self.epochs) + 1
        self.epochs.append(Epoch(number, error, penalty, val.rho, val.mse, seconds, improved, lower))
        if improved:
            self.best = {name: tensor.clone() for name, tensor in self.average.head.state_dict().items()}
        write_log(self.job.run, self.epochs)
        return self.epochs[-1]

    def save(self) -> None:
        """Put everything on the disk that is not there yet."""
        if len(self.epochs) > self.saved:
            save_state(self.job.run, self.head, self.optimiser, self.average, self.best, self.epochs)
            self.publish()
            self.saved = len(self.epochs)

    def publish(self) -> None:
        """Checkpoints and log of the epochs so far."""
        best = max(epoch.epoch for epoch in self.epochs if epoch.best)
        save_tensors(self.job.run / BEST, self.best, self.provenance.at(best))
        save_head(self.job.run / LAST, self.average.head, self.provenance.at(self.epochs[-1].epoch))
        write_log(self.job.run, self.epochs)


def begin(
    collection: Collection, subsets: Subsets, job: Job, split: int, statistics: Statistics | None, device: str,
    resume: bool, kernels: Kernels,
) -> Member:  # fmt: skip
    """A new member with its folder; or, with `resume`, one where its folder says that it was stopped.

    `statistics` of the training images' channels, for configurations that standardise. Raises OutputError if the
    folder exists (without `resume`) or cannot be written; RunError if what is to be resumed is another run.
    """
    head, settings = build_head(subsets.train.scores, job.config, statistics).to(device), job.config.training
    optimiser = torch.optim.Adam(head.parameters(), settings.learning_rate, weight_decay=settings.l2, fused=True)
    average = RunningAverage(head, settings.weight_average)
    identity = identity_of(collection, subsets, job.config, split, kernels)
    if resume and job.run.exists():
        refuse_other_run(job.run, identity)
    else:
        where = {"features": str(collection.path.absolute()), "compiled": kernels.compiled}
        new_run_folder(job.run, identity | where, job.config)
    epochs, best = load_state(job.run, head, optimiser, average)
    provenance = Provenance(job.config, collection.spec.as_dict(), split, None)
    member = Member(job, head, optimiser, average, provenance, epochs, best, len(epochs))
    if epochs:
        member.publish()  # a kill may have come between the state and these
    return member


def build_head(scores: np.ndarray, config: Config, statistics: Statistics | None) -> Head:
    """A fresh head with the statistics of the training images, whose scores are given.

    Its parameters depend on the seed alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("init", config.training.seed))
        head = new_head(config.head)
    mean, scale = target_statistics(scores)
    given = config.training
    head.target_mean.fill_(mean if given.target_mean is None else given.target_mean)
    head.target_scale.fill_(scale if given.target_scale is None else given.target_scale)
    if isinstance(head, PaperHead) and config.head.standardise:
        assert statistics is not None
        head.input_mean.copy_(statistics.mean)
        head.input_std.copy_(statistics.std)
    return head


def identity_of(
    collection: Collection, subsets: Subsets, config: Config, split: int, kernels: Kernels
) -> dict[str, Any]:  # fmt: skip
    """What makes two runs the same run: configuration, features, each list's images with their scores, arithmetic."""
    lists = [
        [[collection.ids[row], score] for row, score in zip(part.rows.tolist(), part.scores.tolist(), strict=True)]
        for part in (subsets.train, subsets.val, subsets.test)
    ]
    return {
        "config": config.as_dict(),
        "split": split,
        "selected_on": subsets.selection,
        "fingerprint": collection.spec.fingerprint,
        "images": hashlib.sha256(canonical_json(lists).encode()).hexdigest(),
        "precision": kernels.precision,
    }
