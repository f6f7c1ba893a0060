"""The room of images that are gone given back to the disk, without copying anything."""

from collections.abc import Sequence

import numpy as np

from amnet_common.collection.erasing import erase_rows
from amnet_common.collection.layout import PENDING
from amnet_common.collection.part import Part


def unnamed_rows(parts: Sequence[Part], held: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rows of each part that have a mark, and that no image of today is; `held` (N,) of layout.HELD_ROW."""
    found = {}
    for number, part in enumerate(parts):
        named = np.zeros(len(part.images), bool)
        named[held["row"][held["part"] == number]] = True
        rows = np.flatnonzero(~named & (part.status != PENDING))
        if len(rows):
            found[number] = rows
    return found


def prune(parts: Sequence[Part], held: np.ndarray) -> None:
    """Erase the rows that no image of today is.

    Raises BusyError while another process fills one of these parts, OutputError.
    """
    for number, rows in unnamed_rows(parts, held).items():
        erase_rows(parts[number].path, rows)
