"""Test images whose file is also trained or validated on, by the hashes that a collection keeps of its files."""

from collections.abc import Iterator

import numpy as np

from amnet_common.collection.reader import Collection
from amnet_common.datasets.records import SplitList


def repeat_lines(collection: Collection) -> Iterator[str]:
    """Yield a line for each split of which test images are files of its training or validation list, under another
    name: how many, and an example.
    """
    if not any(name.startswith("test_") for name in collection.splits):
        return
    digests = np.ascontiguousarray(collection.images["sha256"]).reshape(len(collection), -1)  # (N, 32) uint8
    known: list[bool] = (digests != 0).max(axis=1).tolist()
    keys = digests.view(f"V{digests.shape[1]}").reshape(-1)  # (N,), equal where the bytes of the files were
    for name, test in collection.splits.items():
        number = name.removeprefix("test_")
        others = _others(collection, number, test)
        if number == name or not len(others):
            continue
        row_of = {keys[row].tobytes(): row for row in others.tolist() if known[row]}
        found = [(row, row_of[keys[row].tobytes()]) for row in test.rows.tolist() if keys[row].tobytes() in row_of]
        if found:
            one, other = (collection.ids[row] for row in found[0])
            yield (f"{len(found)} images of {name} are files of its training or validation list under another name, "
                   f"such as {one}, which is {other}")  # fmt: skip


def _others(collection: Collection, number: str, test: SplitList) -> np.ndarray:
    """The rows (n,) of a split that are not tested; the training list comes last, as it has the last word."""
    lists = [collection.splits[name].rows for name in (f"val_{number}", f"train_{number}") if name in collection.splits]
    rows = np.concatenate(lists) if lists else np.empty(0, np.int64)
    return rows[~np.isin(rows, test.rows)]
