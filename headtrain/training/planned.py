"""What a training is asked for, what stands on the disk of it, and so what is to do: begin, resume, or nothing.

Everything is found out and refused here, before the first folder is made.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

from amnet_common.collection import Collection
from amnet_common.collection.spec import canonical_json
from amnet_common.errors import ConfigError, OutputError, RunError
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.features.batches import Source
from headtrain.features.splits import Subsets
from headtrain.runs.documents import read_begun, refuse_other_run
from headtrain.runs.features import features_files
from headtrain.runs.folder import DIVERGED, RESULT, RUN, is_half_made
from headtrain.settings.configuration import Config, TrainingConfig, refuse_untrained
from headtrain.training.going_on import LENGTHS, changed_lengths, refuse_going_on


@dataclass(frozen=True)
class Setup:
    """Hold what heads that train together share: one split of one collection, and how it is computed.

    `source`: where training and validation views are read, if not from the collection itself (`features.residency`).
    `check`: compare every training view with its checksum; evaluation always does, but for views that were read into
    memory unchecked. `resume`: resume runs that were stopped, from their last saved epoch; on the same machine, with as
    many threads, they end with the weights of undisturbed ones. `kernels`: in what arithmetic heads train; a resumed
    run must have begun in the same precision. `other_lengths`: a run that is resumed may have been begun with other
    numbers of epochs and patience. `keep_state`: leave a finished run what it needs for that. `test`: test each head
    when it is finished; else its result says that none has been made, and `outcome.tested_later` makes it.
    """

    collection: Collection
    subsets: Subsets
    split: int
    device: str = "cpu"
    check: bool = True
    resume: bool = False
    source: Source | None = None
    kernels: Kernels = EAGER
    test: bool = True
    other_lengths: bool = False
    keep_state: bool = False

    @property
    def read_from(self) -> Source:
        """Return what training and validation views are read from."""
        return self.source or self.collection


class PlannedRun(NamedTuple):
    """Name a head to train, and the folder it goes to."""

    config: Config
    run: Path


class Standing(Enum):
    """Tell what stands in the folder of a planned run."""

    ABSENT = auto()  # begin
    UNFINISHED = auto()  # resume
    FINISHED = auto()  # nothing to do
    DIVERGED = auto()  # it could not go on, and cannot


def standings(setup: Setup, planned: Sequence[PlannedRun]) -> list[Standing]:
    """Find what stands in the folder of each planned run.

    Raises OutputError if a folder exists and `setup.resume` is not given, RunError if it is of another run, ConfigError
    for views that the collection has not.
    """
    for one in planned:
        if setup.resume:
            refuse_other_together(one.run, setup.collection)
        refuse_unfitting(one.config, setup.collection)
    return [standing(setup, one) for one in planned]


def standing(setup: Setup, one: PlannedRun) -> Standing:
    """Find what stands in the folder of a planned run. Raises OutputError and RunError as `standings`."""
    if not one.run.exists():
        return Standing.ABSENT
    refuse_taken(one.run, setup.resume)
    if is_half_made(one.run):
        return Standing.ABSENT
    refuse_other_run(one.run, identity_of(setup, one.config), LENGTHS if setup.other_lengths else ())
    if (one.run / DIVERGED).exists():
        return Standing.DIVERGED
    if setup.other_lengths and changed_lengths(one.run, one.config):
        refuse_going_on(one.run, one.config)
        return Standing.UNFINISHED
    return Standing.FINISHED if (one.run / RESULT).exists() else Standing.UNFINISHED


def refuse_taken(run: Path, resumed: bool) -> None:
    """Raise OutputError if the folder of a run exists, and is not to be resumed."""
    if run.exists() and not resumed:
        raise OutputError(f"--out {run}: expected a new folder, found one that exists; give another name, or "
                          "--resume to resume it")  # fmt: skip


def refuse_other_together(run: Path, collection: Collection) -> None:
    """Raise RunError if a run was begun on other collections together, on the same in another order, or on one alone
    where several are given.
    """
    if not (run / RUN).exists():
        return
    begun = read_begun(run)
    if (begun.joined_with or collection.joined) and begun.fingerprint != collection.spec.fingerprint:
        given = " ".join(f"--features {path}" for path in features_files(begun))
        raise RunError(f"--resume: {run} is another run: expected {given}, in this order, found {collection.path}")


def refuse_unfitting(config: Config, collection: Collection) -> None:
    """Raise ConfigError if the collection has not the views that are trained on or evaluated, or others in shape."""
    refuse_untrained(config)
    refuse_other_shape(config, collection)
    most, asked = collection.views - 1, config.training
    if asked.eval_view > most:
        raise ConfigError(f"--eval-view: expected a view in 0..{most} of {collection.path}, found {asked.eval_view}")
    if asked.augs is not None and asked.augs > most:
        raise ConfigError(f"--augs: expected at most the {most} augmented views of {collection.path}, "
                          f"found {asked.augs}")  # fmt: skip


def refuse_chosen_on_test(settings: TrainingConfig) -> None:
    """Raise ConfigError for a training without a test whose epochs the test list chooses."""
    if settings.select_on == "test":
        raise ConfigError(
            "--no-test: expected --select-on validation, found test: that list would be read all the same"
        )


def refuse_other_shape(config: Config, collection: Collection) -> None:
    """Raise ConfigError if a head of this configuration does not take views of the collection's shape."""
    *grid, channels = collection.view_shape
    wanted, found = (math.prod(grid), channels), (config.head.locations, config.head.channels)
    if wanted != found:
        raise ConfigError(f"[head]: expected {wanted[0]} locations of {wanted[1]} channels, as {collection.path} has, "
                          f"found {found[0]} of {found[1]}")  # fmt: skip


def identity_of(setup: Setup, config: Config) -> dict[str, Any]:
    """Return what makes two runs the same run, as JSON values: configuration, features, each list's images with their
    scores, arithmetic.
    """
    collection, subsets = setup.collection, setup.subsets
    lists = [
        [[collection.ids[row], score] for row, score in zip(subset.rows.tolist(), subset.scores.tolist(), strict=True)]
        for subset in (subsets.train, subsets.val, subsets.test)
    ]
    return {
        "config": config.as_dict(),
        "split": setup.split,
        "selected_on": subsets.selection,
        "optimistic": subsets.optimistic,
        "fingerprint": collection.spec.fingerprint,
        "images": hashlib.sha256(canonical_json(lists).encode()).hexdigest(),
        "precision": setup.kernels.precision,
    }
