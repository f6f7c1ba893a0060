"""Linked collections: parts joined without copying a feature byte.

A link stores ids, scores and splits, and where its parts lie; marks and features are read live from the parts, so that
parts may still be filled. Each row takes its features from the part that has them; two parts that both have features
of one id overlap, which is refused. A link that follows a folder says itself which row of which part each of its rows
is (`/held`): a part may then hold features of images that are gone, have changed or have had another name since.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from amnet_common.collection.id_reading import IdReading, texts_of
from amnet_common.collection.layout import DONE, FAILED, PENDING, Structure
from amnet_common.collection.part import Part
from amnet_common.collection.spec import spec_differences
from amnet_common.collection.structure import read_structure
from amnet_common.errors import CollectionError, SpecError

RANK = {PENDING: 1, FAILED: 2, DONE: 3}  # the part of the highest counts
MARKS_THREADS = 2  # parts whose marks are read and checked at once
ROOTS = "AMNET_LINK_ROOTS"  # folders outside a link's own that its parts may lie in, separated as in PATH


def open_parts(path: Path, structure: Structure, take_ids: Callable[[np.ndarray], object] | None = None) -> list[Part]:
    """Open the parts of a linked collection: each must be there, the same file as when linked, and of the same spec.

    `take_ids` gets the ids of each part, (n,) of bytes, in their order.

    Raises CollectionError that names a part that is missing, replaced, named twice, outside the folders that are
    allowed, or of another number of views; SpecError for another spec.
    """
    path = Path(os.path.realpath(path))  # parts lie beside the link itself, whatever symbolic link led to it
    seen: set[str] = set()  # the files that they are

    def structure_of(name: str) -> Structure:
        real = os.path.realpath(path.parent / name)
        if real in seen:  # a small file could name a large one without end
            raise CollectionError(f"{path}: expected each part once, found {real} again")
        seen.add(real)
        return _structure(path, path.parent / name)

    # the HDF5 library is asked of the next parts while the marks of some are checked
    with ThreadPoolExecutor(1, "structures") as asking, ThreadPoolExecutor(MARKS_THREADS, "marks") as checking:
        asked = [asking.submit(structure_of, name) for name, _ in structure.sources]
        read = deque(IdReading(column=take_ids is not None) for _ in asked)
        opened = [checking.submit(_open_part, path, structure, *source, facts, ids)
                  for source, facts, ids in zip(structure.sources, asked, read, strict=True)]  # fmt: skip
        parts: list[Part] = []
        try:
            for one in opened:
                parts.append(one.result())
                ids = read.popleft()
                if take_ids:
                    take_ids(ids.column())
        finally:
            for pool in (checking, asking):
                pool.shutdown(wait=False, cancel_futures=True)
    refuse_other_views(path, parts)
    return parts


def _structure(path: Path, source: Path) -> Structure:
    refuse_outside(path, source)
    if not os.path.isfile(source):
        raise CollectionError(f"{path}: expected its part {source}, found no such file; bring it back or link again")
    return read_structure(source)


def _open_part(path: Path, link: Structure, name: str, uuid: str, structure: Future[Structure], ids: IdReading) -> Part:
    source = path.parent / name
    part = Part(source, structure.result(), ids)
    if part.structure.uuid != uuid:
        raise CollectionError(f"{path}: expected its part {source} with uuid {uuid}, found another collection with "
                              f"uuid {part.structure.uuid}: it was replaced; link again if that was meant")  # fmt: skip
    unlike = spec_differences(link.spec, part.structure.spec) if link.spec != part.structure.spec else []
    if unlike:
        raise SpecError(f"{path}: expected parts of one spec, found {source} to differ: {'; '.join(unlike)}")
    return part


def refuse_outside(link: Path, source: Path) -> None:
    """Raise CollectionError if a part lies neither below the link's folder nor in $AMNET_LINK_ROOTS, symlinks followed.

    A collection from a stranger must not make a reader open other files of this machine.
    """
    allowed = [os.path.realpath(link.parent)]
    allowed += [os.path.realpath(root) for root in os.environ.get(ROOTS, "").split(os.pathsep) if root]
    real = PurePosixPath(os.path.realpath(source))
    if not any(real.is_relative_to(folder) for folder in allowed):
        raise CollectionError(f"{link}: expected parts below {allowed[0]}, found {real}; allow its folder with "
                              f"{ROOTS}=FOLDER if you trust the link")  # fmt: skip


def refuse_other_views(link: Path, parts: Sequence[Part]) -> None:
    """Raise CollectionError if a part has another number of views than the first; specs of our own making forbid it."""
    views = parts[0].planes.features.shape[1]
    for part in parts[1:]:
        if part.planes.features.shape[1] != views:
            raise CollectionError(f"{link}: expected parts with {views} views an image as {parts[0].path}, found "
                                  f"{part.path} with {part.planes.features.shape[1]}")  # fmt: skip


class Held(NamedTuple):
    """Hold which rows of a link a part has, (n,) int64, and which rows of its own they are, (n,) int64."""

    rows: np.ndarray
    own: np.ndarray


class Chosen(NamedTuple):
    """Hold from which part each row of a link is read, (N,) int64, and from which row of that part, (N,) int64."""

    parts: np.ndarray
    own: np.ndarray


class Holder(Protocol):
    """Hold rows under ids: a part, or a whole collection."""

    path: Path
    status: np.ndarray  # (n,) uint8


class RowsById:
    """Find rows of a link by their ids, `column` as bytes; parts that have them one after the other at once."""

    def __init__(self, ids: Sequence[str], column: np.ndarray) -> None:
        self._ids, self._column, self._next = ids, column, 0

    @cached_property
    def _row_of(self) -> Mapping[str, int]:
        return {id_: row for row, id_ in enumerate(self._ids)}

    def held_by(self, ids: np.ndarray) -> Held:
        """Find which rows of the link a part with these ids, (n,) of bytes, has."""
        here = slice(self._next, self._next + len(ids))
        if np.array_equal(self._column[here], ids):
            self._next = here.stop
            return Held(np.arange(here.start, here.stop), np.arange(len(ids)))
        rows = np.fromiter((self._row_of.get(id_, -1) for id_ in texts_of(ids.tolist())), np.int64, len(ids))
        own = np.flatnonzero(rows >= 0)
        return Held(rows[own], own)


def chosen_rows(path: Path, held: np.ndarray, parts: Sequence[Part]) -> Chosen:
    """Return what `held` (N,) of layout.HELD_ROW says. Raises CollectionError for a row that a part does not have."""
    sizes = np.array([len(part.status) for part in parts])
    beyond = held["row"] >= sizes[held["part"]]
    if beyond.any():
        one = held[int(np.argmax(beyond))]
        raise CollectionError(f"{path}: /held: expected rows of its parts, found row {one['row']} of "
                              f"{parts[one['part']].path}, which has {sizes[one['part']]}")  # fmt: skip
    return Chosen(held["part"].astype(np.int64), held["row"].astype(np.int64))


def choose_parts(ids: Sequence[str], held: Sequence[Held], parts: Sequence[Holder]) -> Chosen:
    """Choose the part that each of N ids is read from: the one that has it done, else failed, else pending.

    `held[p]`: what part p has. Raises CollectionError if two parts have one id done, or none has it.
    """
    best, chosen = np.zeros(len(ids), np.int8), Chosen(np.full(len(ids), -1), np.zeros(len(ids), np.int64))
    for number, (part, (rows, own)) in enumerate(zip(parts, held, strict=True)):
        ranks = np.select([part.status[own] == known for known in RANK], list(RANK.values()))  # (n,)
        twice = rows[(best[rows] == RANK[DONE]) & (ranks == RANK[DONE])]
        if len(twice):
            id_, other = ids[twice.min()], parts[chosen.parts[twice.min()]].path
            raise CollectionError(f"{part.path}: expected ids that no other part has features of, found {id_!r} in "
                                  f"{other} too ({len(twice)} ids overlap)")  # fmt: skip
        better = ranks > best[rows]
        at = rows[better]
        best[at], chosen.parts[at], chosen.own[at] = ranks[better], number, own[better]
    if (chosen.parts < 0).any():
        raise CollectionError(f"{parts[0].path} and other parts: expected every id of the link, found none that has "
                              f"{ids[int(np.argmin(chosen.parts))]!r}")  # fmt: skip
    return chosen
