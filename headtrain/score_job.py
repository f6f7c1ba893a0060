"""The scores of whole collections as one table: in bounded memory, gone on with after a kill, added to when they grow.

Rows go to OUT.part, block by block, in the order of the collections; OUT.part.json says how far it is whole. OUT gets
its name when all of it is there. OUT.json says what the scores are of: heads, views, features. A score is taken over
from an older OUT only for the very same features, by the checksums of its views.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import ExistsError, OutputError, RunError
from amnet_common.layout import DONE
from amnet_common.layout import FAILED as FAILED_MARK
from amnet_common.spec import differences
from headtrain.checkpoint import checkpoint_of
from headtrain.ensemble import say
from headtrain.head import Head
from headtrain.kernels import EAGER, Kernels
from headtrain.run_folder import read_json, write_json
from headtrain.score_formats import WRITERS, read_rows, write_csv
from headtrain.score_rows import FAILED, PENDING, SCORED, ScoreRow, as_record, as_texts, figure
from headtrain.scoring import refuse_other_shape

CENTRE, ALL = "centre", "all"
BLOCK_VIEWS = 4096  # between two moments after which nothing is lost: some ten seconds on two cores
COMPARED = ("heads", "views", "precision", "fingerprints")  # of OUT.json: what must be equal to add to a table


@dataclass(frozen=True)
class Scoring:
    """What is scored by what, and where it goes."""

    heads: Mapping[str, Head]  # by where they are; all on one device
    collections: Sequence[Collection]
    out: Path
    kind: str  # of score_formats.FORMATS
    views: str = CENTRE  # or ALL: the mean over every cached view
    kernels: Kernels = EAGER

    @property
    def steps(self) -> int:
        """Columns of step scores."""
        return max(1, *(head.config.steps for head in self.heads.values()))

    @property
    def part(self) -> Path:
        """What is written until all is there."""
        return self.out.with_name(f"{self.out.name}.part")


@dataclass
class Counts:
    """What came of it."""

    scored: int = 0  # now
    kept: int = 0  # of the older table
    missing: int = 0  # images without features

    def add(self, table: Sequence[ScoreRow], old: Sequence[ScoreRow | None]) -> None:
        """Count rows of the new table beside those of the older one."""
        kept = sum(row is before for row, before in zip(table, old, strict=True))
        missing = sum(row.score is None for row in table)
        self.scored += len(table) - kept - missing
        self.kept += kept
        self.missing += missing


def about(path: Path) -> Path:
    """What a table, or the part of one, says of itself."""
    return path.with_name(f"{path.name}.json")


def write_table(job: Scoring, append: bool, overwrite: bool, advance: Callable[[int], object]) -> Counts:
    """Score every image that has features; `advance` is told of each block's images.

    Raises ExistsError if the table is there, with neither `append` nor `overwrite`; RunError if it, or what an earlier
    call left, is of other heads, views or features; SpecError and CollectionError for features that do not fit or are
    damaged; OutputError.
    """
    for collection in job.collections:
        for head in job.heads.values():
            refuse_other_shape(head, collection)
    identity = identity_of(job)
    old = _old_rows(job, identity, append, overwrite)
    try:
        counts = _fill_part(job, identity, old, advance)
        _publish(job, identity)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"--out {job.out}: cannot be written: {error.strerror}") from error
    return counts


def identity_of(job: Scoring) -> dict[str, Any]:
    """What the scores are of, as JSON values."""
    return {
        "heads": {path: _sha256(checkpoint_of(Path(path))) for path in job.heads},
        "views": job.views,
        "precision": job.kernels.precision,
        "fingerprints": sorted({collection.spec.fingerprint for collection in job.collections}),
        "collections": {str(collection.path): collection.uuid for collection in job.collections},
        "format": job.kind,
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _old_rows(job: Scoring, identity: Mapping[str, Any], append: bool, overwrite: bool) -> Iterator[ScoreRow]:
    """Of the table that is added to; none without `append`."""
    if not job.out.exists() or overwrite:
        return iter(())
    if not append:
        raise ExistsError(f"--out {job.out}: wanted a new file, found one that exists; --append adds what is new to "
                          "it, --overwrite scores anew")  # fmt: skip
    begun = read_json(about(job.out))
    if begun.get("sha256") != _sha256(job.out):
        raise RunError(f"--append: wanted {job.out} as it was written, found it changed since; give another --out")
    lines = differences({key: begun.get(key) for key in COMPARED}, {key: identity[key] for key in COMPARED})
    if lines or begun.get("format") != job.kind:
        found = "; ".join(lines) or f"format: wanted {begun.get('format')}, found {job.kind}"
        raise RunError(f"--append: {job.out} has scores of something else: {found}")
    return read_rows(job.out, job.kind, job.steps)


def _fill_part(
    job: Scoring, identity: Mapping[str, Any], old: Iterator[ScoreRow], advance: Callable[[int], object]
) -> Counts:
    """Write OUT.part to its end, from where an earlier call came to."""
    counts, whole = Counts(), _begun(job, identity)
    matched = Matched(old, job.out)
    with open(job.part, "r+b") as file:
        file.truncate(whole["bytes"])
        file.seek(whole["bytes"])
        number = 0
        for collection, rows in blocks(job):
            found = [matched.take(collection.ids[row]) for row in rows]
            number += len(rows)
            if number > whole["rows"]:
                table = score_block(
                    [*job.heads.values()], collection, rows, views_of(job, collection), job.kernels, found
                )
                counts.add(table, found)
                file.write(_lines(table, job.steps))
                file.flush()
                os.fsync(file.fileno())
                write_json(about(job.part), {"identity": identity, "rows": number, "bytes": file.tell()})
            advance(len(rows))
    matched.finish()
    return counts


def _begun(job: Scoring, identity: Mapping[str, Any]) -> dict[str, Any]:
    """How many rows and bytes of OUT.part are whole; a new part has a header only."""
    if job.part.exists() and about(job.part).exists():
        begun = read_json(about(job.part))
        lines = differences(begun.get("identity", {}), dict(identity))
        if lines:
            raise RunError(f"--out {job.out}: {job.part.name} is left of another scoring ({'; '.join(lines)}); go on "
                           "with that one, or remove it")  # fmt: skip
        return begun
    write_csv(job.part, (), job.steps)
    return {"rows": 0, "bytes": job.part.stat().st_size}


def _lines(rows: Sequence[ScoreRow], steps: int) -> bytes:
    """As `write_csv` has them."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(as_texts(as_record(row, steps)) for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def blocks(job: Scoring) -> Iterator[tuple[Collection, np.ndarray]]:
    """All rows of all collections in their order, some at a time."""
    for collection in job.collections:
        size = max(1, BLOCK_VIEWS // len(views_of(job, collection)))
        for start in range(0, len(collection), size):
            yield collection, np.arange(start, min(start + size, len(collection)))


def views_of(job: Scoring, collection: Collection) -> range:
    """The views of a collection that are scored."""
    return range(collection.views if job.views == ALL else 1)


class Matched:
    """The rows of an older table, met again in their order: the new table has all of them, and others in between."""

    def __init__(self, old: Iterator[ScoreRow], path: Path) -> None:
        self._old, self._path = old, path
        self._next = next(old, None)

    def take(self, id_: str) -> ScoreRow | None:
        """The old row of this image, if its turn has come."""
        found = self._next
        if found is None or found.id != id_:
            return None
        self._next = next(self._old, None)
        return found

    def finish(self) -> None:
        """RunError if an old row was not met again."""
        if self._next is not None:
            raise RunError(f"--append: wanted all images of {self._path} in the same order, found {self._next.id!r} "
                           "elsewhere or not at all; name the collections as before, or score anew")  # fmt: skip


def score_block(
    heads: Sequence[Head], collection: Collection, rows: np.ndarray, views: Sequence[int], kernels: Kernels = EAGER,
    old: Sequence[ScoreRow | None] = (),
) -> list[ScoreRow]:  # fmt: skip
    """A row for each of `rows`, in their order. One of `old`, if given as many, is taken over if its features are still
    the same.
    """
    crcs = [f"{crc32c.crc32c(collection.checksums[row].tobytes()):08x}" for row in rows]
    done = collection.status[rows] == DONE  # (n,)
    table = [
        before if before and before.status == SCORED and done[i] and before.features == crcs[i] else None
        for i, before in enumerate(old or [None] * len(rows))
    ]
    fresh = np.flatnonzero(done & np.array([row is None for row in table]))
    if len(fresh):
        said = say(heads, collection, rows[fresh], views, kernels)
        for i, score, steps, spread, entropy in zip(fresh.tolist(), *said, strict=True):
            table[i] = ScoreRow(
                collection.ids[rows[i]], SCORED, str(collection.path), float(score), tuple(map(float, steps)),
                figure(spread), float(entropy), features=crcs[i],
            )  # fmt: skip
    return [row or _without(collection, int(rows[i])) for i, row in enumerate(table)]


def _without(collection: Collection, row: int) -> ScoreRow:
    status = FAILED if collection.status[row] == FAILED_MARK else PENDING
    return ScoreRow(collection.ids[row], status, str(collection.path), reason=collection.error(row))


def _publish(job: Scoring, identity: Mapping[str, Any]) -> None:
    """The part as a whole table of its format, under its name."""
    ready = job.part
    if job.kind != "csv":
        ready = job.out.with_name(f".{job.out.name}.tmp")
        WRITERS[job.kind](ready, read_rows(job.part, "csv", job.steps), job.steps)
    write_json(about(job.out), {**identity, "sha256": _sha256(ready)})
    os.replace(ready, job.out)
    job.part.unlink(missing_ok=True)
    about(job.part).unlink(missing_ok=True)
