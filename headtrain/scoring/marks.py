"""Where the blocks of an unfinished table end: one line a block, added when the block is on the disk.

Adding costs the same for the first block and for the hundred thousandth.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

MOST_DIGITS = 19  # of a number of bytes


def marks_of(part: Path) -> Path:
    """Name the file of the marks of an unfinished table."""
    return part.with_name(f"{part.name}.blocks")


@contextlib.contextmanager
def begun_marks(path: Path, marks: Sequence[Sequence[int]]) -> Iterator[BinaryIO]:
    """Begin a file of marks with those of blocks that stay, and yield it to be added to. Raises OSError."""
    with open(path, "wb") as file:
        file.write(b"".join(b"%d %d\n" % (end, checksum) for end, checksum in marks))
        _to_disk(file)
        yield file


def add_mark(file: BinaryIO, end: int, checksum: int) -> None:
    """Add the mark of a block: where it ends in the table, and the checksum of what it is of. Raises OSError."""
    file.write(b"%d %d\n" % (end, checksum))
    _to_disk(file)


def read_marks(path: Path, start: int, size: int) -> list[list[int]]:
    """Read the marks of blocks behind byte `start` of a table of `size` bytes, up to the first that cannot be right.

    A kill may leave half a line. There are none if there is no such file.
    """
    found: list[list[int]] = []
    if not path.is_file():
        return found
    for line in path.read_bytes().split(b"\n")[:-1]:
        words = line.split()
        if len(words) != 2 or not all(word.isdigit() and len(word) <= MOST_DIGITS for word in words):
            break
        end, checksum = map(int, words)
        if not start < end <= size:
            break
        found.append([end, checksum])
        start = end
    return found


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
