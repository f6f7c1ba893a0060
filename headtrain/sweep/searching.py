"""A search: trials are asked for in batches that train together, and the mean validation rho says how good each was."""

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.errors import ConfigError, DeviceMemoryError, RunError
from headtrain.runs.documents import Diverged, Result
from headtrain.settings.configuration import Config, override
from headtrain.sweep.grid import Axis
from headtrain.sweep.passes import SplitRun
from headtrain.sweep.room import NoRoom
from headtrain.sweep.space import Range, corners
from headtrain.sweep.study import Search, Trial
from headtrain.sweep.sweeping import SweepReport
from headtrain.training.loop import Damaged
from headtrain.training.planned import PlannedRun, Setup, identity_of, refuse_unfitting

WORST = -1.0  # that rho can be


def begin_search(
    setups: Mapping[int, Setup], base: Config, seeds: Sequence[int], axes: Sequence[Axis], ranges: Sequence[Range],
    out: Path,
) -> Search:  # fmt: skip
    """Begin the study in `out`, or open it again, once the whole space is known to be possible; `setups` by split.

    Raises ConfigError for an impossible space and for epochs chosen on the test list, and as Search does.
    """
    if base.training.select_on != "validation":
        raise ConfigError(f"--trials: expected --select-on validation, by which a search chooses, found "
                          f"{base.training.select_on}")  # fmt: skip
    for config in corners(base, axes, ranges):
        refuse_unfitting(config, next(iter(setups.values())).collection)
    return Search(out, axes, ranges, base.training.data_seed, facts_of(setups, base, seeds))


def facts_of(setups: Mapping[int, Setup], base: Config, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what makes trials comparable, beside their space, as JSON values."""
    identities = {str(split): identity_of(setup, base) for split, setup in setups.items()}
    first = next(iter(identities.values()))
    return {
        "config": base.as_dict(),
        "seeds": len(seeds),
        "fingerprint": first["fingerprint"],
        "precision": first["precision"],
        "images": {split: identity["images"] for split, identity in identities.items()},
    }


def search(
    study: Search, trials: int, size: int, runs_of: Callable[[Trial], list[SplitRun]],
    train: Callable[[list[SplitRun]], Iterable[SweepReport]],
) -> Generator[SweepReport]:  # fmt: skip
    """Train batches of `size` trials until `trials` are told. Yields and raises as `train`."""
    while (left := trials - study.finished) > 0:
        batch = {trial: runs_of(trial) for trial in study.ask(min(size, left))}
        yield from train_batch(study, batch, train)


def train_batch(
    study: Search, batch: Mapping[Trial, list[SplitRun]], train: Callable[[list[SplitRun]], Iterable[SweepReport]]
) -> Generator[SweepReport]:  # fmt: skip
    """Train the runs of several trials together; a trial is told when the last of its heads has its result."""
    owner = {planned: trial for trial, runs in batch.items() for _, planned in runs}
    rhos: dict[Trial, list[float]] = {trial: [] for trial in batch}
    for planned, report in train([pair for runs in batch.values() for pair in runs]):
        if isinstance(report, NoRoom):
            raise DeviceMemoryError(f"{planned.run}: expected memory for one head, found too little ({report.why}); a "
                                    "smaller --batch-size takes less, or --residency ram or disk, and --resume goes "
                                    "on")  # fmt: skip
        if isinstance(report, Damaged):  # the trial could never be told, and would be asked for again and again
            raise RunError(f"{report.why}; remove {planned.run}, then --resume trains it anew")
        if isinstance(report, Result | Diverged):
            trial = owner[planned]
            rhos[trial].append(report.best.val_rho if isinstance(report, Result) and report.best else math.nan)
            if len(rhos[trial]) == len(batch[trial]):
                study.tell(trial, objective(rhos[trial]))
        yield planned, report


def objective(rhos: Sequence[float]) -> float:
    """Return the mean over splits and seeds of the highest validation rho.

    NaN, of heads that diverged or say the same of every image, counts as -1, the worst: a trial without a value would
    tell the sampler nothing, and it would come back to such points.
    """
    return float(np.mean([WORST if math.isnan(rho) else rho for rho in rhos]))


def trial_runs(trial: Trial, base: Config, seeds: Sequence[int], splits: Sequence[int], out: Path) -> list[SplitRun]:
    """List the runs of a trial: `base` with its values, at every seed and split."""
    configs = {seed: override(base, **trial.values, seed=seed) for seed in seeds}
    return [
        (split, PlannedRun(config, out / f"{trial.name},seed={seed}" / f"split-{split}"))
        for seed, config in configs.items()
        for split in splits
    ]
