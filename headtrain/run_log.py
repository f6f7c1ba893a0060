"""log.csv: a line for each epoch, readable while the training goes on."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from headtrain.run_folder import LOG


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
