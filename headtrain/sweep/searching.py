"""A search: trials are asked for in batches that train together, and the mean validation rho says how good each was."""

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.features.splits import Subsets
from headtrain.settings.configuration import Config, override
from headtrain.sweep.grid import Axis
from headtrain.sweep.space import Range, corners
from headtrain.sweep.study import Search, Trial
from headtrain.training.loop import Report, refuse_missing_views
from headtrain.training.member import Job, identity_of
from headtrain.training.outcome import Result

WORST = -1.0  # that rho can be
SplitJobs = list[tuple[int, Job]]


def begin_search(
    collection: Collection, subsets: Mapping[int, Subsets], base: Config, seeds: Sequence[int],
    axes: Sequence[Axis], ranges: Sequence[Range], out: Path, kernels: Kernels = EAGER,
) -> Search:  # fmt: skip
    """The study in `out`, once the whole space is known to be possible; `subsets` by split.

    Raises ConfigError for an impossible space and for epochs chosen on the test list, and as Search does.
    """
    if base.training.select_on != "validation":
        raise ConfigError(f"--trials: expected --select-on validation, by which a search chooses, found "
                          f"{base.training.select_on}")  # fmt: skip
    for config in corners(base, axes, ranges):
        refuse_missing_views(config, collection)
    return Search(out, axes, ranges, base.training.data_seed, facts_of(collection, subsets, base, seeds, kernels))


def facts_of(
    collection: Collection, subsets: Mapping[int, Subsets], base: Config, seeds: Sequence[int], kernels: Kernels
) -> dict[str, Any]:  # fmt: skip
    """What makes trials comparable, beside their space."""
    identities = {str(split): identity_of(collection, part, base, split, kernels) for split, part in subsets.items()}
    return {
        "config": base.as_dict(),
        "seeds": len(seeds),
        "fingerprint": collection.spec.fingerprint,
        "precision": kernels.precision,
        "images": {split: identity["images"] for split, identity in identities.items()},
    }


def search(
    study: Search, trials: int, size: int, jobs_of: Callable[[Trial], SplitJobs],
    train: Callable[[SplitJobs], Iterable[Report]],
) -> Generator[Report]:  # fmt: skip
    """Train batches of `size` trials until `trials` are told. Yields and raises as `train`."""
    while (left := trials - study.finished) > 0:
        batch = {trial: jobs_of(trial) for trial in study.ask(min(size, left))}
        yield from train_batch(study, batch, train)


def train_batch(
    study: Search, batch: Mapping[Trial, SplitJobs], train: Callable[[SplitJobs], Iterable[Report]]
) -> Generator[Report]:  # fmt: skip
    """Each trial is told when the last of its heads has its result."""
    owner = {job: trial for trial, jobs in batch.items() for _, job in jobs}
    rhos: dict[Trial, list[float]] = {trial: [] for trial in batch}
    for job, report in train([pair for jobs in batch.values() for pair in jobs]):
        if isinstance(report, Result):
            trial = owner[job]
            rhos[trial].append(report.best.val_rho)
            if len(rhos[trial]) == len(batch[trial]):
                study.tell(trial, objective(rhos[trial]))
        yield job, report


def objective(rhos: Sequence[float]) -> float:
    """The mean over splits and seeds of the highest validation rho.

    NaN, of heads that say the same of every image, counts as -1, the worst: a trial without a value would tell the
    sampler nothing, and it would come back to such points.
    """
    return float(np.mean([WORST if math.isnan(rho) else rho for rho in rhos]))


def trial_jobs(trial: Trial, base: Config, seeds: Sequence[int], splits: Sequence[int], out: Path) -> SplitJobs:
    """Its heads: `base` with its values, at every seed and split."""
    configs = {seed: override(base, **trial.values, seed=seed) for seed in seeds}
    return [
        (split, Job(config, out / f"{trial.name},seed={seed}" / f"split-{split}"))
        for seed, config in configs.items()
        for split in splits
    ]
