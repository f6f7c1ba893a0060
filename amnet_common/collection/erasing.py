"""Rows of a collection taken out of its file: mark, checksums and boxes are zeros, and no feature byte is left."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amnet_common.collection.writer import RowWriter


def erase_rows(path: Path, rows: Sequence[int] | np.ndarray) -> None:
    """Mark rows pending, then overwrite their features, checksums and boxes with zeros, on the disk.

    The room goes back to the disk where the file system can make holes. Ids stay: the file's structure never changes.
    Raises BusyError while another process writes there, OutputError.
    """
    if not len(rows):
        return
    with RowWriter(path, int(min(rows)), int(max(rows)) + 1) as writer:
        writer.undo(rows)
        writer.erase(rows)
