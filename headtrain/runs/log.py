"""log.csv: a line for each epoch, readable while the training goes on."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from amnet_common.errors import RunError
from headtrain.runs.folder import LOG


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
    lowest_mse: bool  # the lowest validation MSE so far


def write_log(run: Path, epochs: Sequence[Epoch]) -> None:
    """log.csv with a line for each of `epochs`, which replaces an older one whole."""
    temporary = run / f".{LOG}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(epochs[0])])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)
    os.replace(temporary, run / LOG)


def read_log(run: Path) -> list[Epoch]:
    """What `write_log` wrote, at least one epoch. Raises RunError that names the file."""
    try:
        with open(run / LOG, newline="", encoding="utf-8") as file:
            epochs = [_epoch(row) for row in csv.DictReader(file)]
    except (KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        found = f"no {error}" if isinstance(error, KeyError) else error
        raise RunError(f"{run / LOG}: expected a log as amnet-head train writes it, found {found}") from error
    if not epochs:
        raise RunError(f"{run / LOG}: expected a line for each epoch, found none")
    return epochs


def _epoch(row: dict[str, str]) -> Epoch:
    kinds: dict[Any, Callable[[str], Any]] = {int: int, float: float, bool: "True".__eq__}
    return Epoch(**{field.name: kinds[field.type](row[field.name]) for field in fields(Epoch)})
