"""Whether a collection is what it was when written: structure, integrity hash, marks, checksums of all views."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection.integrity import integrity_sha256
from amnet_common.collection.layout import DONE, Structure
from amnet_common.collection.marks import view_checksum
from amnet_common.collection.part import Part
from amnet_common.collection.raw import read_exactly
from amnet_common.collection.reader import Collection
from amnet_common.collection.structure import read_structure
from amnet_common.collection.writer import RowWriter
from amnet_common.datasets.records import decode_id
from amnet_common.errors import CollectionError
from amnet_common.remote import is_remote, url_of

THREADS = 4
BROKEN_INTEGRITY = (
    "bytes changed that are never written again (structure, ids, scores or splits); features and "
    "marks are checked apart. Take a copy of the file whose bytes are whole, or extract anew"
)


@dataclass(frozen=True)
class Problem:
    """Describe something that is not as it was written. `row` is that of the file `path`; None: the file as a whole."""

    path: Path
    row: int | None
    text: str


@dataclass(frozen=True)
class Checked:
    """Hold what is wrong with a row that was looked at; nothing if all is well."""

    problems: tuple[Problem, ...] = ()


def verify_structure(path: Path, collection: Collection | None = None) -> list[Problem]:
    """Return what is wrong with the fixed bytes of a collection, and of the parts that it links.

    `collection`: the same, if it is open. Raises CollectionError if one of the files cannot be opened as a collection
    at all, or it lies in an object store.
    """
    if is_remote(path):
        raise CollectionError(f"{url_of(path)}: expected a collection of this machine, as every byte is read, found "
                              "one in a store; copy it here first")  # fmt: skip
    collection = collection or Collection(path)
    files = {path: read_structure(path)} | {part.path: part.structure for part in collection.parts}
    return [
        Problem(name, None, BROKEN_INTEGRITY)
        for name, structure in files.items()
        if not integrity_holds(name, structure)
    ]


def integrity_holds(path: Path, structure: Structure) -> bool:
    """Tell whether the fixed bytes of a file are those that were published."""
    return structure.stored_integrity == integrity_sha256(path, structure)


def verify_rows(part: Part, quick: bool = False) -> Iterator[Checked]:
    """Check every row of one file in turn: its mark, and (unless `quick`) the bytes of its views if it is done."""
    if quick:
        bad, well = {row: Checked((_damaged(part, row),)) for row in part.damaged.tolist()}, Checked()
        yield from (bad.get(row, well) for row in range(len(part.status)))
        return
    damaged = set(part.damaged.tolist())
    file = part.open()

    def look(row: int) -> Checked:
        if row in damaged:
            return Checked((_damaged(part, row),))
        if part.status[row] != DONE:
            return Checked()
        wrong = [view for view in range(part.planes.features.shape[1]) if not _view_holds(part, file, row, view)]
        texts = (f"{_name(part, row)}: row {row} view {view}: the features do not match their checksum"
                 for view in wrong)  # fmt: skip
        return Checked(tuple(Problem(part.path, row, text) for text in texts))

    with open(file, "rb"), ThreadPoolExecutor(THREADS, "verify") as pool:  # closed last: threads read from it
        for start in range(0, len(part.status), 64 * THREADS):  # bounded: map would queue every row at once
            yield from pool.map(look, range(start, min(start + 64 * THREADS, len(part.status))))


def _damaged(part: Part, row: int) -> Problem:
    return Problem(part.path, row, f"{_name(part, row)}: row {row}: the mark does not hold; it counts as pending")


def _name(part: Part, row: int) -> str:
    return decode_id(bytes(part.images["id"][row]))


def _view_holds(part: Part, file: int, row: int, view: int) -> bool:
    extent = part.planes.features
    plane = np.empty(extent.row_bytes // extent.shape[1], np.uint8)
    read_exactly(file, plane.data, extent.at(row) + view * len(plane), part.path)
    return view_checksum(plane) == int(part.checksums[row, view])


def repair(problems: list[Problem]) -> int:
    """Mark the rows of `problems` pending, so that the next extraction fills just those; return how many rows.

    Raises BusyError while another process writes there, OutputError if the disk does not take it.
    """
    rows_of: dict[Path, set[int]] = {}
    for problem in problems:
        if problem.row is not None:
            rows_of.setdefault(problem.path, set()).add(problem.row)
    for path, rows in rows_of.items():
        with RowWriter(path, min(rows), max(rows) + 1) as writer:
            writer.undo(sorted(rows))
    return sum(map(len, rows_of.values()))
