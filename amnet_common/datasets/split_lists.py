"""LaMem's layout, which SUN shares: `images/` and `splits/{train,val,test}_K.txt` with lines `name.jpg 0.675000`."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np

from amnet_common.datasets.records import Dataset, SplitList, checked_id, checked_score, refuse_many
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened, small_text

MOST_BYTES = 2**30  # a list of ten million images is smaller
LIST_NAME = re.compile(r"(train|val|test)_([1-9]\d*)\.txt")
PARTS = {"lamem": ("train", "val", "test"), "sun": ("train", "test")}  # SUN was published without validation lists


def read_split_layout(name: str, root: Path) -> Dataset:
    """Read the dataset below `root`, in LaMem's layout; rows are sorted by id.

    Raises DatasetError for a missing list, and names file and line of what cannot be read.
    """
    lists = {path.stem: read_list(path) for path in find_lists(name, root / "splits")}
    ids = tuple(sorted({id_ for entries in lists.values() for id_ in entries}))
    refuse_overlap(lists)
    row_of = {id_: row for row, id_ in enumerate(ids)}
    return Dataset(name, root / "images", ids, {k: as_split(entries, row_of) for k, entries in lists.items()})


def find_lists(name: str, folder: Path) -> list[Path]:
    """Return the list files in the order of splits, every split with all the subsets that the dataset has.

    Raises DatasetError if there are no lists, or one is missing.
    """
    found = {
        (int(match[2]), match[1]): path for path in folder.glob("*.txt") if (match := LIST_NAME.fullmatch(path.name))
    }
    if not found:
        raise DatasetError(f"--dataset {name}: expected {folder}/train_1.txt and its like, found none; "
                           "say where with --root")  # fmt: skip
    refuse_many(len(found), f"--dataset {name}: {folder}")
    numbers = sorted({number for number, _ in found})
    for number in numbers:
        for part in PARTS[name]:
            if (number, part) not in found:
                raise DatasetError(
                    f"--dataset {name}: expected {folder}/{part}_{number}.txt beside its like, found none"
                )
    return [found[number, part] for number in numbers for part in ("train", "val", "test") if (number, part) in found]


def refuse_overlap(lists: dict[str, dict[str, float]]) -> None:
    """Raise DatasetError if two subsets of one split name the same image.

    A test image that was trained on says nothing.
    """
    of_split: dict[str, list[str]] = {}
    for name in lists:
        of_split.setdefault(name.partition("_")[2], []).append(name)
    for a, b in (pair for names in of_split.values() for pair in combinations(names, 2)):
        both = lists[a].keys() & lists[b].keys()
        if both:
            raise DatasetError(
                f"splits/{b}.txt: expected images that {a}.txt does not name, found {min(both)!r} in both"
            )


def read_list(path: Path) -> dict[str, float]:
    """Read the scores of one split list by image id, in the order of the lines.

    Raises DatasetError with file and line number.
    """
    entries: dict[str, float] = {}
    try:
        text = small_text(path, MOST_BYTES).replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")  # splitlines would cut odd names
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected a readable UTF-8 text file, found {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        fields = line.rsplit(maxsplit=1)
        if len(fields) != 2:
            raise DatasetError(f"{where}: expected 'name.jpg 0.675000', found {shortened(line)}")
        id_ = checked_id(fields[0].strip(), where)
        if id_ in entries:
            raise DatasetError(f"{where}: expected each image once in a list, found {id_!r} again")
        entries[id_] = checked_score(fields[1], where)
    return entries


def as_split(entries: dict[str, float], row_of: dict[str, int]) -> SplitList:
    """Convert scores by image id to rows with scores."""
    rows = np.fromiter((row_of[id_] for id_ in entries), np.int64, len(entries))
    return SplitList(rows, np.fromiter(entries.values(), np.float64, len(entries)))
