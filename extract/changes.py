"""Whether image files are still those that a collection was made from: size and time first, then their hash."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.layout import DONE, PENDING


@dataclass(frozen=True)
class Changes:
    """Rows whose image file is another than the one that was read."""

    done: tuple[int, ...] = ()  # with features, which are of the file as it was
    failed: tuple[int, ...] = ()  # which might succeed now
    gone: int = 0  # rows with features whose file is not there; the features stay good


def find_changes(collection: Collection, image_root: Path, rows: Iterable[int], rehash: bool = False) -> Changes:
    """Compare the files of finished `rows` with what their marks remember; `rehash`: by content, all of them."""
    done: list[int] = []
    failed: list[int] = []
    gone = 0
    status, images = collection.status.tolist(), collection.images
    sizes, times = images["size"].tolist(), images["mtime_ns"].tolist()
    was_read = [any(hash_) for hash_ in images["sha256"].tolist()]  # a file that could not be is remembered as empty
    for row in rows:
        if status[row] == PENDING:
            continue
        path = f"{image_root}/{collection.ids[row]}"
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            gone += status[row] == DONE
            continue
        if not was_read[row]:
            differs = found.st_size > 0
        elif not rehash and (sizes[row], times[row]) == (found.st_size, found.st_mtime_ns):
            differs = False
        else:
            differs = sizes[row] != found.st_size or file_sha256(path) != images["sha256"][row].tobytes()
        if differs:
            (done if status[row] == DONE else failed).append(row)
    return Changes(tuple(done), tuple(failed), gone)


def file_sha256(path: str | os.PathLike[str]) -> bytes:
    """32 bytes; empty if the file cannot be read, which is no file's hash."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
