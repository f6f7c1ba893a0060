"""The folder of a run and its log, a CSV line for each epoch, readable while the training goes on."""

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from amnet_common.errors import OutputError
from headtrain.checkpoint import LOG

if TYPE_CHECKING:
    from headtrain.training import Epoch


def new_run_folder(run: Path) -> None:
    """Make the folder. Raises OutputError if it exists or cannot be made."""
    try:
        run.mkdir(parents=True)
    except FileExistsError as error:
        raise OutputError(f"--out {run}: wanted a new folder, found one that exists; give another name") from error
    except OSError as error:
        raise OutputError(f"--out {run}: cannot be made: {error.strerror}") from error


def free_run_name(folder: Path, name: str) -> Path:
    """folder/name, or folder/name-2, -3 ... where that exists."""
    path, number = folder / name, 2
    while path.exists():
        path, number = folder / f"{name}-{number}", number + 1
    return path


class EpochLog:
    """Writes log.csv; use as a context manager."""

    def __init__(self, run: Path) -> None:
        self._path = run / LOG

    def __enter__(self) -> "EpochLog":
        self._file = open(self._path, "w", newline="", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, epoch: "Epoch") -> None:
        """Append one epoch and hand it to the operating system."""
        writer = csv.DictWriter(self._file, [field.name for field in fields(epoch)])
        if epoch.epoch == 1:
            writer.writeheader()
        writer.writerow(asdict(epoch))
        self._file.flush()
