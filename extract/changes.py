"""Whether image files are still those that a collection was made from: size and time first, then their hash."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, PENDING
from amnet_common.errors import ImageError
from amnet_common.image_files import file_facts, is_readable
from amnet_common.images import read_source


@dataclass(frozen=True)
class Changes:
    """Hold the rows whose image file is another than the one that was read."""

    done: tuple[int, ...] = ()  # with features, which are of the file as it was
    failed: tuple[int, ...] = ()  # which might succeed now
    gone: int = 0  # rows with features whose file cannot be read any more; the features stay good


def find_changes(collection: Collection, image_root: Path, rows: Iterable[int], rehash: bool = False) -> Changes:
    """Compare the files of finished `rows` with what their marks remember; `rehash`: by content, all of them."""
    done: list[int] = []
    failed: list[int] = []
    gone = 0
    status, images = collection.status.tolist(), collection.images
    hashes = images["sha256"]
    facts = list(zip(images["size"].tolist(), images["mtime_ns"].tolist(), strict=True))
    for row in rows:
        if status[row] == PENDING:
            continue
        changed = is_changed(f"{image_root}/{collection.ids[row]}", facts[row], hashes[row].tobytes(), rehash)
        if changed is None:
            gone += status[row] == DONE
        elif changed:
            (done if status[row] == DONE else failed).append(row)
    return Changes(tuple(done), tuple(failed), gone)


def is_changed(path: str, facts: tuple[int, int], sha256: bytes, rehash: bool) -> bool | None:
    """Tell whether an image file is another than the one of these facts (size and time) and hash.

    Returns None if no file can be read there. `facts`: bytes, and nanoseconds since 1970. Of a file that could not be
    read all of these are zero.
    """
    found = file_facts(path)
    if found is None:
        return None
    if not rehash and facts == found:
        return False
    if facts[0] != found[0]:
        return True if is_readable(path) else None
    content = file_sha256(path)
    return content != sha256 if content else None


def file_sha256(path: str | os.PathLike[str]) -> bytes:
    """Return the SHA-256 of a file, 32 bytes; empty, which is no file's hash, if the file cannot be read.

    It is empty as well for files that `read_source` refuses: those that are not regular, hold nothing or are too large.
    """
    try:
        return read_source(Path(path)).sha256
    except ImageError:
        return b""
