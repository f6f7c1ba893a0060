"""Collections without lists: their folds, which `train`, `sweep`, `baseline` and `evaluate` deal alike, and say so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import folded, recorded_folding
from amnet_common.commands import say
from amnet_common.datasets.folds import MOST_FOLDED, USUAL, Folding, usual_folding
from amnet_common.errors import ConfigError
from headtrain.cli.options import refuse_twice
from headtrain.cli.together import opened_together

ALL, FIRST = "all", "1"


def fold_options(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """Add --folds and --repeats to a command."""
    command = click.option("--repeats", type=int, help="Deal the folds so many times.  [default: 1]")(command)
    return click.option("--folds", type=int, help="Of a collection without lists, deal the scored images into so many "
                        f"folds, alike in scores; 1: a single split of 70, 10 and 20 %.  [default: {USUAL}, of more "
                        f"than {MOST_FOLDED:,} images 1]")(command)  # fmt: skip


def with_lists(
    features: Sequence[Path], folds: int | None, repeats: int | None, runs: Sequence[Path] = ()
) -> Collection:
    """Open a collection, or several as one; without lists, but with scores, as if its lists were folds, which is said.

    `runs`: folders of runs that may say how they were dealt before, which holds where an option does not. Raises
    ConfigError for options beside lists, DatasetError for too few images.
    """
    refuse_twice("--features", features)
    collection = opened_together(features)
    if collection.splits:
        refuse_beside_lists(collection, folds, repeats)
        return collection
    scored = int((~np.isnan(collection.labels)).sum())
    if not scored:
        return collection  # which is refused for what it lacks
    usual = dealt_before(runs) or usual_folding(scored)
    folding = Folding(
        usual.folds if folds is None else folds, usual.repeats if repeats is None else repeats, usual.seed
    )
    collection = folded(collection, folding)
    say(f"{collection.path} has no lists: {folding} of its {scored} scored images, seed {folding.seed}; amnet-cache "
        "relabel --folds keeps them", err=True)  # fmt: skip
    return collection


def refuse_beside_lists(collection: Collection, folds: int | None, repeats: int | None) -> None:
    """Raise ConfigError for --folds or --repeats where a collection has lists."""
    for name, value in (("folds", folds), ("repeats", repeats)):
        if value is not None:
            raise ConfigError(f"--{name} {value}: expected a collection without lists, found {len(collection.splits)} "
                              f"lists in {collection.path}; amnet-cache relabel --folds deals others")  # fmt: skip


def dealt_before(runs: Sequence[Path]) -> Folding | None:
    """Return how the lists of the first of `runs` that says so were dealt."""
    from headtrain.runs.documents import folding_of

    return next((found for run in runs if (found := folding_of(run))), None)


def say_out_of_fold(folder: Path, collection: Collection) -> None:
    """Write the out-of-fold predictions of a folder of splits, if these are folds, and print how good they are."""
    from headtrain.evaluation.bootstrap import interval
    from headtrain.evaluation.metrics import spearman
    from headtrain.runs.out_of_fold import OUT_OF_FOLD, write_out_of_fold

    if found := write_out_of_fold(folder, collection):
        said = found.predictions
        rho, sure = spearman(said.predicted, said.scores), interval(said)
        say(f"{folder / OUT_OF_FOLD}: rho {rho:.4f} [{sure.low:.3f}, {sure.high:.3f}] of {len(said)} images, each "
            "predicted by what has not seen it")  # fmt: skip


def usual_split(collection: Collection, asked: str | None) -> str:
    """Return what --split says; by default every fold, as one alone tells little, and of other lists the first."""
    return asked or (ALL if recorded_folding(collection.provenance) else FIRST)
