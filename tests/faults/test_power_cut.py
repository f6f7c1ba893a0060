"""A kill between or within writes, and a power cut that loses any pages not yet synced, replayed write by write.

A row that has a mark afterwards is whole, and filling the rest gives the same bytes as if nothing had happened.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection import writer as writer_module
from amnet_common.collection.layout import DONE, PAGE, PENDING
from amnet_common.collection.writer import ImageFacts, RowWriter

VIEWS, ROWS = 1, 20  # records of 20 rows lie on two pages, some on both
UPDATED, RETRIED = 3, 4


@dataclass(frozen=True)
class Write:
    """One pwrite; None for `data`: a sync of everything before."""

    offset: int = 0
    data: bytes | None = None


def fill(path: Path, rows, features_of, changed: bool = False) -> None:
    """What an extraction does with `rows`: every fifth image fails, unless its file has changed."""
    with RowWriter(path) as writer:
        for row in rows:
            number = row + 100 * changed
            if row % 5 == 4 and not changed:
                writer.fail(row, ImageFacts(size=number), "cut short")
                continue
            for view in range(VIEWS):
                writer.write_view(row, view, features_of(number, view))
            writer.finish(row, ImageFacts(size=number), np.full((VIEWS, 5), row, np.float32))


def update(path: Path, features_of) -> None:
    """Two images have changed since: one that was done is extracted anew, one that had failed is tried again."""
    with RowWriter(path) as writer:
        writer.undo([UPDATED])
    fill(path, [UPDATED, RETRIED], features_of, changed=True)


@pytest.fixture
def recorded(make_collection, monkeypatch):
    """A file, its bytes when it was empty, and every write and sync that filled it."""
    monkeypatch.setattr(writer_module, "SYNC_ROWS", 3)
    path, writes = make_collection(ids=[f"{i:04}" + 200 * "x" for i in range(ROWS)], views=VIEWS), []
    empty, pwrite, fsync = path.read_bytes(), os.pwrite, os.fsync

    def recorded_pwrite(file, data, offset):
        writes.append(Write(offset, bytes(data)))
        return pwrite(file, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", recorded_pwrite)
        patch.setattr(os, "fsync", lambda file: writes.append(Write()) or fsync(file))
        fill(path, range(ROWS), make_collection.features_of)
        update(path, make_collection.features_of)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # replayed files need not reach the disk
    return path, empty, writes


def replay(path: Path, empty: bytes, writes: list[Write], share: float = 1.0) -> None:
    """The file after `writes`, of the last of which only a share was written."""
    image = bytearray(empty)
    for number, write in enumerate(writes):
        data = write.data or b""
        data = data[: int(share * len(data))] if number == len(writes) - 1 else data
        image[write.offset : write.offset + len(data)] = data
    path.write_bytes(image)


def cut_power(path: Path, empty: bytes, writes: list[Write], rng: random.Random) -> None:
    """The file after a power cut: what was synced, and of the rest each page as it was at some instant since."""
    synced = max((number for number, write in enumerate(writes) if write.data is None), default=-1)
    replay(path, empty, writes[: synced + 1])
    image = bytearray(path.read_bytes())
    frozen: set[int] = set()
    for write in writes[synced + 1 :]:
        for start in range(write.offset - write.offset % PAGE, write.offset + len(write.data), PAGE):
            if rng.random() < 0.4:
                frozen.add(start)
            if start not in frozen:
                a, b = max(start, write.offset), min(start + PAGE, write.offset + len(write.data))
                image[a:b] = write.data[a - write.offset : b - write.offset]
    path.write_bytes(image)


def whole_and_resumable(path: Path, wanted: bytes, features_of) -> bool:
    """Every row that is served is right, and filling what is pending gives the expected bytes."""
    collection = Collection(path)
    for row in np.flatnonzero(collection.status == DONE).tolist():
        features = collection.read([row] * VIEWS, range(VIEWS), check=True)
        number = int(collection.images["size"][row])  # which version of the image the mark is of
        if not all(np.array_equal(features[view], features_of(number, view)) for view in range(VIEWS)):
            return False
    fill(path, np.flatnonzero(collection.status == PENDING).tolist(), features_of)
    update(path, features_of)
    return same_rows(path, wanted)


def same_rows(path: Path, wanted: bytes) -> bool:
    """Byte for byte, but for the features of failed rows, which mean nothing."""
    found, part = np.frombuffer(path.read_bytes(), np.uint8).copy(), Collection(path).parts[0]
    expected = np.frombuffer(wanted, np.uint8).copy()
    for row in np.flatnonzero(part.status != DONE).tolist():
        extent = part.planes.features
        found[extent.at(row) : extent.at(row + 1)] = expected[extent.at(row) : extent.at(row + 1)] = 0
    return bool((part.status != PENDING).all() and np.array_equal(found, expected))


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.faults)])
def test_kill_at_any_write_leaves_a_file_that_can_be_completed(recorded, make_collection, figures, every):
    path, empty, writes = recorded
    wanted, wrong, tried = path.read_bytes(), 0, 0
    for count in {*range(0, len(writes), every), *range(len(writes) - 14, len(writes) + 1)}:  # with all of the update
        for share in (0.5, 1.0):
            replay(path, empty, writes[:count], share)
            wrong += not whole_and_resumable(path, wanted, make_collection.features_of)
            tried += 1
    figures.add("Replayed writes", fault="kill after or within a write", instants=tried, wrong=wrong)
    assert wrong == 0


@pytest.mark.parametrize("cuts", [8, pytest.param(300, marks=pytest.mark.faults)])
def test_power_cut_at_any_write_leaves_a_file_that_can_be_completed(recorded, make_collection, figures, cuts):
    path, empty, writes = recorded
    wanted, wrong, rng = path.read_bytes(), 0, random.Random(cuts)
    for _ in range(cuts):
        cut_power(path, empty, writes[: rng.randrange(len(writes) + 1)], rng)
        wrong += not whole_and_resumable(path, wanted, make_collection.features_of)
    figures.add("Replayed writes", fault="power cut that loses random unsynced pages", instants=cuts, wrong=wrong)
    assert wrong == 0
