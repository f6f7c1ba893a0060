"""`--except OLD.h5`: which images OLD does not hold, by content, so that a growing library is extracted once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.layout import DONE
from extract.changes import file_sha256

Facts = tuple[int, int]  # size in bytes, mtime in ns


@dataclass(frozen=True)
class NewImages:
    """What is left of a dataset."""

    keep: np.ndarray  # (N,) bool: images that are in none of the old collections
    clashes: tuple[str, ...]  # ids among them that an old collection has with other content


def find_new_images(dataset: Dataset, old: Sequence[Collection]) -> NewImages:
    """Compare image files with the finished rows of `old`.

    A file of the same id, size and time is taken for the same; else its hash decides, and it is only computed if some
    old file has the same size. Files that cannot be read count as new, so that they become failed rows.
    """
    facts: dict[str, Facts] = {}
    hashes: set[bytes] = set()
    sizes: set[int] = set()
    for collection in old:
        for row in np.flatnonzero(collection.status == DONE).tolist():
            image = collection.images[row]
            facts[collection.ids[row]] = int(image["size"]), int(image["mtime_ns"])
            hashes.add(image["sha256"].tobytes())
            sizes.add(int(image["size"]))

    def is_new(id_: str) -> bool:
        path = dataset.image_root / id_
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return True
        if facts.get(id_) == (found.st_size, found.st_mtime_ns):
            return False
        return found.st_size not in sizes or file_sha256(path) not in hashes

    keep = np.array([is_new(id_) for id_ in dataset.ids], bool)
    clashes = tuple(id_ for id_, new in zip(dataset.ids, keep, strict=True) if new and id_ in facts)
    return NewImages(keep, clashes)
