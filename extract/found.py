"""What is there: the collection of a request, the image files it was made from, and those that it is to be made from.

It is looked at here and judged in `extract.job`; nothing is written, and torch is not needed.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from amnet_common import image_files
from amnet_common.collection import Collection
from amnet_common.collection.writer import RowWriter
from amnet_common.datasets import Dataset
from amnet_common.datasets.image_names import FileNames
from amnet_common.errors import CollectionError
from extract.changes import Changes, find_changes
from extract.request import Request


@dataclass(frozen=True)
class Images:
    """Tell which image files are there."""

    any: bool
    unknown: tuple[str, str] | None  # list and image: some splits leave it out, and it is no file either
    missing: frozenset[int] = frozenset()  # rows without an image file


class Found:
    """Hold what stands on the disk of a request.

    `collection`: to be resumed; None: none is there, or it is to be thrown away. `images` and `changes` are looked at
    when they are asked for: a request that is refused for its settings reads no image file.
    """

    def __init__(self, request: Request, collection: Collection | None) -> None:
        self.request, self.collection = request, collection

    @cached_property
    def images(self) -> Images:
        """Tell which image files of the data set are there."""
        return look_at_images(self.request.dataset)

    @cached_property
    def changes(self) -> Changes:
        """Find the image files that have changed since they were extracted; of no collection there are none."""
        if self.collection is None:
            return Changes()
        root = self.request.dataset.image_root
        return find_changes(self.collection, root, self.request.row_range, self.request.rehash)


def look(request: Request) -> Found:
    """Look at the file of a request, if there is one.

    Raises CollectionError if the file is no whole collection, BusyError if it is to be thrown away while another
    process fills it.
    """
    if not os.path.exists(request.out):  # unlike Path.exists, False for names no system takes
        return Found(request, None)
    if request.overwrite:
        with taken_alone(request.out):
            return Found(request, None)
    return Found(request, Collection(request.out))


def taken_alone(path: Path) -> RowWriter:
    """Open a collection that is to be thrown away, closed to other writers until it is closed.

    Raises CollectionError unless the file is a whole collection; BusyError while another process fills it.
    """
    try:
        return RowWriter(path)
    except CollectionError as error:
        raise CollectionError(f"--overwrite throws away collections only: {error}; remove the file yourself") from error


def look_at_images(dataset: Dataset) -> Images:
    """Find out which image files are there, and the first that some splits leave out and that is no file either.

    A missing file that every split names is a gap in the images, and becomes a failed row; one that some splits leave
    out is a slip in a list.
    """
    names = FileNames(dataset.image_root)
    missing = frozenset(row for row, id_ in enumerate(dataset.ids) if id_ not in names)
    return Images(len(missing) < len(dataset.ids), unknown_image(dataset), missing)


def unknown_image(dataset: Dataset) -> tuple[str, str] | None:
    """Return split list and image of the first slip in a list, or None."""
    numbers = {name.rpartition("_")[2] for name in dataset.splits}
    named = {number: np.zeros(len(dataset.ids), bool) for number in numbers}
    for name, split in dataset.splits.items():
        named[name.rpartition("_")[2]][split.rows] = True
    left_out = ~np.all(list(named.values()), axis=0)
    for name, split in dataset.splits.items():
        for row in split.rows[left_out[split.rows]].tolist():
            if not is_there(dataset, dataset.ids[row]):
                return name, dataset.ids[row]
    return None


def is_there(dataset: Dataset, id_: str) -> bool:
    """Tell whether the image file exists; unlike Path.exists, say False for names that no system takes."""
    return image_files.is_there(dataset.image_root / id_)
