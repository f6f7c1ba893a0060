"""The rows of a table that is added to, each for the image that it is of."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.parts_folder import COPIED, REPLACED
from amnet_common.errors import RunError
from headtrain.scoring.formats import read_rows, written_id
from headtrain.scoring.rows import ScoreRow


def follows(collections: Sequence[Collection]) -> bool:
    """Tell whether images of a collection may come and go: it follows a folder, or images were removed from it."""
    return any(one.held is not None or one.provenance.keys() & {COPIED, REPLACED} for one in collections)


class Older(Protocol):
    """Give the old row of an image."""

    gone: int  # rows of images that are not there any more

    def take(self, id_: str) -> ScoreRow | None: ...
    def finish(self) -> None: ...


class Matched:
    """Match the rows of the table that is added to with the images of the new one, in their order: the new table has
    all of them, and others in between.
    """

    gone = 0

    def __init__(self, path: Path, kind: str, steps: int, safe: bool, _: Iterable[str]) -> None:
        self._path, self._kind, self._safe = path, kind, safe
        self._old = read_rows(path, kind, steps)
        self._next = next(self._old, None)

    def take(self, id_: str) -> ScoreRow | None:
        """Return the old row of this image, if its turn has come; else None."""
        found = self._next
        if found is None or found.id != written_id(id_, self._kind, self._safe):
            return None
        self._next = next(self._old, None)
        return found

    def finish(self) -> None:
        """Raise RunError if an old row was not met again."""
        if self._next is not None:
            raise RunError(
                f"--append: expected all images of {self._path} in the same order, found "
                f"{self._next.id!r} elsewhere or not at all; name the collections as before, or score anew"
            )


class Following:
    """Find the old row of each image wherever it stands; rows of images that are gone are left out and counted.

    Both orders are alike as a rule, so that the old table is read once beside the new one. What stands elsewhere is
    put aside until it is asked for; what nobody will ask for is not. `ids`: of the new table.
    """

    def __init__(self, path: Path, kind: str, steps: int, safe: bool, ids: Iterable[str]) -> None:
        self._kind, self._safe = kind, safe
        self._known = hashes(row.id for row in read_rows(path, kind, steps))
        self._wanted = hashes(written_id(id_, kind, safe) for id_ in ids)
        self._old = read_rows(path, kind, steps)
        self._aside: dict[str, ScoreRow] = {}
        self.gone = int((~np.isin(self._known, self._wanted)).sum())

    def take(self, id_: str) -> ScoreRow | None:
        """Return the old row of this image; None if there is none."""
        name = written_id(id_, self._kind, self._safe)
        if name in self._aside:
            return self._aside.pop(name)
        if not is_among(name, self._known):
            return None
        for row in self._old:
            if row.id == name:
                return row
            if is_among(row.id, self._wanted):
                self._aside[row.id] = row
        return None

    def finish(self) -> None:
        """Accept whatever has not been asked for."""


def hashes(names: Iterable[str]) -> np.ndarray:
    """Return 64 bits of a hash of each name, (n,) uint64 in ascending order: names of millions of images as numbers."""
    return np.sort(np.fromiter(map(hashed, names), np.uint64))


def hashed(name: str) -> int:
    """Return 64 bits of the hash of a name."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def is_among(name: str, known: np.ndarray) -> bool:
    """Tell whether a name's hash is one of `known`, in ascending order."""
    wanted = np.uint64(hashed(name))
    at = int(np.searchsorted(known, wanted))
    return at < len(known) and bool(known[at] == wanted)
