"""A head in training with all that belongs to it alone: optimiser, running average, log, checkpoints, folder."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection.folding import FOLDING, recorded_folding
from amnet_common.files import remove_leftovers
from amnet_common.making import made_here
from amnet_common.seeds import derived_seed
from headtrain.evaluation.metrics import Metrics, ordering_key
from headtrain.features.seen import as_text, content_keys
from headtrain.features.splits import count_tested_elsewhere
from headtrain.features.statistics import Statistics, target_statistics
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import BEST, LAST, Tensors, save_head, save_tensors
from headtrain.heads.fitness import refuse_untrainable
from headtrain.heads.head import Head
from headtrain.heads.provenance import Provenance
from headtrain.runs.features import features_of
from headtrain.runs.folder import new_run_folder
from headtrain.runs.log import Epoch, write_log
from headtrain.settings.configuration import Config
from headtrain.training.averaging import RunningAverage
from headtrain.training.going_on import note_lengths, refuse_ended
from headtrain.training.planned import PlannedRun, Setup, identity_of
from headtrain.training.resume import load_state, save_state


@dataclass
class Member:
    """Hold one head of a bank with all that belongs to it alone."""

    planned: PlannedRun
    head: Head
    optimiser: torch.optim.Optimizer
    average: RunningAverage  # its head is what is evaluated and kept
    provenance: Provenance  # without the epoch
    epochs: list[Epoch] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)  # the average's state after the best epoch
    saved: int = 0  # epochs that stand in the folder
    diverged: str = ""  # why the training cannot go on

    @property
    def config(self) -> Config:
        """Return the configuration of head and training."""
        return self.planned.config

    @property
    def blind(self) -> bool:
        """Tell whether no epoch has a validation rho: predictions were the same for every image."""
        return all(math.isnan(epoch.val_rho) for epoch in self.epochs)

    @property
    def finished(self) -> bool:
        """Tell whether all epochs are trained, or patience is out."""
        best = max((epoch.epoch for epoch in self.epochs if epoch.best), default=0)
        settings, done = self.config.training, len(self.epochs)
        return done >= settings.epochs or done - best >= settings.patience

    def targets(self, scores: np.ndarray) -> Tensor:
        """Convert scores (n,) to the training scale, float32 on the head's device."""
        scaled = (scores - self.head.target_mean.item()) * self.head.target_scale.item()
        return torch.as_tensor(scaled).float().to(self.head.target_mean.device)

    def add_epoch(self, error: float, penalty: float, val: Metrics, seconds: float) -> Epoch:
        """Add an epoch to the log; `save` puts the rest on the disk. Raises OutputError."""
        improved = ordering_key(val.rho) > max(
            (ordering_key(epoch.val_rho) for epoch in self.epochs), default=-math.inf
        )
        lower = val.mse < min((epoch.val_mse for epoch in self.epochs), default=math.inf)
        number = len(self.epochs) + 1
        self.epochs.append(Epoch(number, error, penalty, val.rho, val.mse, seconds, improved, lower))
        if improved:
            self.best = {name: tensor.clone() for name, tensor in self.average.head.state_dict().items()}
        write_log(self.planned.run, self.epochs, durable=False)  # each epoch; `save` makes it last
        return self.epochs[-1]

    def save(self) -> None:
        """Put everything on the disk that is not there yet. Raises OutputError."""
        if len(self.epochs) > self.saved:
            save_state(self.planned.run, self.head, self.optimiser, self.average, self.best, self.epochs)
            self.write_checkpoints()
            self.saved = len(self.epochs)

    def write_checkpoints(self) -> None:
        """Write the checkpoints and the log of the epochs so far. Raises OutputError."""
        best = max(epoch.epoch for epoch in self.epochs if epoch.best)
        save_tensors(self.planned.run / BEST, self.best, self.provenance.at(best))
        save_head(self.planned.run / LAST, self.average.head, self.provenance.at(self.epochs[-1].epoch))
        write_log(self.planned.run, self.epochs)


def begin(setup: Setup, planned: PlannedRun, statistics: Statistics | None) -> Member:
    """Make the folder of a run and a new member for it.

    `statistics` of the training images' channels, for heads that standardise. Raises OutputError.
    """
    member = new_member(setup, planned, statistics)
    where = {
        **features_of(setup.collection),
        "weights": str(setup.collection.provenance.get("weights") or ""),
        "compiled": setup.kernels.compiled,
        "tested_elsewhere": count_tested_elsewhere(setup.collection, setup.split, setup.subsets.val),
        "made": made_here(),
    } | ({} if setup.test else {"no_test": True})
    if setup.keep_state:
        where["keep_state"] = True
    if folding := recorded_folding(setup.collection.provenance):
        where[FOLDING] = folding.as_dict()
    new_run_folder(planned.run, identity_of(setup, planned.config) | where, planned.config)
    return member


def resume(setup: Setup, planned: PlannedRun, statistics: Statistics | None) -> Member:
    """Make the member of a run that was stopped, as it was after its last saved epoch; a new one if there is none.

    Raises RunError for a state that cannot be read, or that has come to its end.
    """
    remove_leftovers(planned.run)
    member = new_member(setup, planned, statistics)
    member.epochs, member.best = load_state(planned.run, member.head, member.optimiser, member.average)
    member.saved = len(member.epochs)
    if setup.other_lengths:
        best = max((epoch.epoch for epoch in member.epochs if epoch.best), default=0)
        refuse_ended(planned.run, planned.config, member.saved, best)
        note_lengths(planned.run, planned.config, setup.keep_state)
    if member.epochs:
        member.write_checkpoints()  # a kill may have come between the state and these
    return member


def new_member(setup: Setup, planned: PlannedRun, statistics: Statistics | None) -> Member:
    """Make a member before its first epoch; its parameters depend on the seed alone."""
    settings = planned.config.training
    head = build_head(setup.subsets.train.scores, planned.config, statistics).to(setup.device)
    optimiser = torch.optim.Adam(head.parameters(), settings.learning_rate, weight_decay=settings.l2, fused=True)
    average = RunningAverage(head, settings.weight_average)
    trained_on = as_text(content_keys(setup.collection, setup.subsets.train.rows))
    provenance = Provenance(planned.config, setup.collection.spec.as_dict(), setup.split, None, trained_on)
    return Member(planned, head, optimiser, average, provenance)


def build_head(scores: np.ndarray, config: Config, statistics: Statistics | None) -> Head:
    """Make a fresh head with the statistics of the training images, whose scores (n,) are given.

    Its parameters depend on the seed alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("init", config.training.seed))
        head = new_head(config.head)
    if config.head.source:
        refuse_untrainable(head)
    mean, scale = target_statistics(scores)
    given = config.training
    head.target_mean.fill_(mean if given.target_mean is None else given.target_mean)
    head.target_scale.fill_(scale if given.target_scale is None else given.target_scale)
    if config.head.standardise:
        assert statistics is not None
        head.standardise_by(statistics.mean, statistics.std)
    return head
