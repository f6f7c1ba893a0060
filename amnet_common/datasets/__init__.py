"""Readers of image datasets: `--dataset lamem|sun|csv|folder`, one file each; `load_dataset` chooses."""

import os
from pathlib import Path

from amnet_common.datasets.choosing import Choice
from amnet_common.datasets.columns import Columns
from amnet_common.datasets.folder import read_folder
from amnet_common.datasets.label_table import read_label_table
from amnet_common.datasets.records import Dataset, SplitList
from amnet_common.datasets.spelling import as_on_disk
from amnet_common.datasets.split_lists import read_split_layout
from amnet_common.errors import DatasetError

__all__ = ["NAMES", "Choice", "Columns", "Dataset", "SplitList", "default_root", "load_dataset"]

NAMES = ("lamem", "sun", "csv", "folder")


def default_root(name: str) -> Path:
    """Return a dataset's folder: $AMNET_DATA/<name>, or data/<name> where AMNET_DATA is not set or empty."""
    return Path(os.environ.get("AMNET_DATA") or "data") / name


def load_dataset(
    name: str,
    root: Path | None = None,
    labels: Path | None = None,
    choice: Choice = Choice(),  # noqa: B008 (frozen)
    columns: Columns = Columns(),  # noqa: B008 (frozen)
) -> Dataset:
    """Read the ids, scores and splits of a dataset; no image file is opened. `choice`: of a folder's files;
    `columns`: of a label table.

    Raises DatasetError, which names the file and line at fault.
    """
    root = root or default_root(name)
    if (labels is not None) != (name == "csv"):
        raise DatasetError(f"--labels FILE goes with --dataset csv, and only with it; found --dataset {name}")
    if columns != Columns() and name != "csv":
        raise DatasetError(f"--id-column and its like go with --dataset csv, and only with it; found --dataset {name}")
    if (choice.exclude or choice.include) and name != "folder":
        raise DatasetError(
            f"--exclude and --include go with --dataset folder, and only with it; found --dataset {name}"
        )
    if name == "csv":
        assert labels is not None
        return as_on_disk(read_label_table(root, labels, columns))
    return read_folder(root, choice) if name == "folder" else as_on_disk(read_split_layout(name, root))
