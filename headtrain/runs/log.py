"""log.csv: a line for each epoch, readable while the training goes on."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from amnet_common.errors import DamagedRunError
from amnet_common.files import whole_file
from amnet_common.small_texts import reason_of
from headtrain.runs.folder import LOG

COLUMNS = ("epoch", "squared_error", "penalty", "val_rho", "val_mse", "seconds", "best")  # of logs of all versions


@dataclass(frozen=True)
class Epoch:
    """Hold one line of the log. What a run of an older version does not know is NaN, or False."""

    epoch: int
    squared_error: float = math.nan  # first term of (13), mean over the epoch, on the training scale
    penalty: float = math.nan  # (14, 15), before lambda
    val_rho: float = math.nan
    val_mse: float = math.nan  # on the data's scale
    seconds: float = math.nan
    best: bool = False  # the highest validation rho so far
    lowest_mse: bool = False  # the lowest validation MSE so far

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Epoch":
        """Read an epoch from JSON values or from texts; None and empty texts are NaN, unknown fields are left out.

        Raises KeyError, TypeError and ValueError for values that are none.
        """
        known = {item.name: READ[item.type](values[item.name]) for item in fields(cls) if item.name in values}
        return cls(**({"epoch": READ[int](values["epoch"])} | known))


READ: Mapping[Any, Callable[[Any], Any]] = {
    int: int,
    float: lambda value: math.nan if value in (None, "") else float(value),
    bool: lambda value: value in (True, "True"),
}


def write_log(run: Path, epochs: Sequence[Epoch], durable: bool = True) -> None:
    """Write log.csv with a line for each of `epochs`, which replaces an older one whole.

    `durable`: it survives a power cut. Raises OutputError.
    """
    with (
        whole_file(run / LOG, durable=durable) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(epochs[0])])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)


def read_log(run: Path) -> list[Epoch]:
    """Read what `write_log` wrote, at least one epoch. Raises RunError that names the file."""
    try:
        with open(run / LOG, newline="", encoding="utf-8") as file:
            epochs = [_whole(row) for row in csv.DictReader(file)]
    except (KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        found = f"no {error}" if isinstance(error, KeyError) else reason_of(error)
        raise DamagedRunError(f"{run / LOG}: expected a log as amnet-head train writes it, found {found}") from error
    if not epochs:
        raise DamagedRunError(f"{run / LOG}: expected a line for each epoch, found none")
    return epochs


def _whole(row: Mapping[str, str | None]) -> Epoch:
    """Read a line, which must have every column that logs of all versions have."""
    kinds = {item.name: item.type for item in fields(Epoch)}
    for column in COLUMNS:
        if not row[column]:
            raise ValueError(f"a line without {column}")
        READ[kinds[column]](row[column])  # in the order of the columns: the first bad cell is named
    return Epoch.from_dict(row)
