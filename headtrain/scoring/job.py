"""The scores of whole collections as one table: in bounded memory, resumed after a kill, added to when they grow.

Rows go to OUT.part, block by block, in the order of the collections; OUT.part.json says what they are scores of, and
OUT.part.blocks where each block ends and what images and features it is of. OUT gets its name when all of it is there.
OUT.json says what the scores are of: heads, views, features. A score is taken over, from a part or from an older OUT,
only for the very same features, by the checksums of their views.
"""

import contextlib
import csv
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

import amnet_common
from amnet_common.collection import Collection
from amnet_common.errors import ExistsError, OutputError, RunError
from amnet_common.files import replace_by, temporary_beside, whole_file, write_json
from amnet_common.making import made_here
from amnet_common.small_texts import checked
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.heads.checkpoint import checkpoint_of
from headtrain.heads.head import Head
from headtrain.runs.documents import damage_named, read_json
from headtrain.scoring.blocks import Counts, score_block
from headtrain.scoring.ensemble import steps_of
from headtrain.scoring.formats import WRITERS, read_rows, write_csv
from headtrain.scoring.marks import add_mark, begun_marks, marks_of, read_marks
from headtrain.scoring.older import Following, Matched, Older, follows
from headtrain.scoring.rows import LABELS, ScoreRow, as_record, as_texts
from headtrain.scoring.scores import refuse_other_shape
from headtrain.scoring.standing import Standing, standing, with_labels

CENTRE, ALL = "centre", "all"
LABELS_SAID = ",".join(LABELS)  # in what a table says of itself
BLOCK = 2048  # heads times views between two moments after which nothing is lost: some seconds on two cores
COMPARED = (
    "heads",
    "views",
    "precision",
    "fingerprints",
    "format",
)  # of OUT.json: what must be equal to add to a table


@dataclass(frozen=True)
class Scoring:
    """Describe what is scored by what, and where it goes."""

    heads: Mapping[str, Head]  # by where they are; all on one device
    collections: Sequence[Collection]
    out: Path
    kind: str  # of scoring.formats.FORMATS
    views: str = CENTRE  # or ALL: the mean over every cached view
    kernels: Kernels = EAGER
    safe_csv: bool = False  # no cell of a CSV table looks like a formula
    labelled: bool = False  # the last columns tell the list of each image and what people said of it

    @property
    def steps(self) -> int:
        """Count the columns of step scores."""
        return steps_of([*self.heads.values()])

    @property
    def part(self) -> Path:
        """Name the file that is written until all is there."""
        return self.out.with_name(f"{self.out.name}.part")


def about(path: Path) -> Path:
    """Name the file that tells what the scores of a table, or of the part of one, are of."""
    return path.with_name(f"{path.name}.json")


def goes_on(job: Scoring) -> bool:
    """Tell whether a part is there to go on with; a link that stands in its place is none."""
    return job.part.exists() and about(job.part).exists() and not job.part.is_symlink()


def as_begun(job: Scoring, append: bool) -> Scoring:
    """Return the job with the columns that a table to be added to, or the part of one, was begun with."""
    begun = about(job.out) if append and job.out.exists() else None
    if goes_on(job):
        begun = about(job.part)
    if not (job.labelled and begun and begun.exists()):
        return job
    known = read_json(begun, "what a table says of itself")
    known = known if begun == about(job.out) else known.get("identity", {})
    return job if isinstance(known, dict) and known.get("columns") == LABELS_SAID else replace(job, labelled=False)


@dataclass(frozen=True)
class Block:
    """Hold some rows (n,) of a collection, which are scored together, and n rows of the older table or None."""

    collection: Collection
    rows: np.ndarray
    before: list[ScoreRow | None]


Score = Callable[[Scoring, Iterable[Block]], Iterable[tuple[Block, list[ScoreRow]]]]  # in the order of the blocks


def score_here(job: Scoring, some: Iterable[Block]) -> Iterator[tuple[Block, list[ScoreRow]]]:
    """Score blocks in this process, one after the other. Raises as `score_block`."""
    heads = [*job.heads.values()]
    for one in some:
        views = views_of(job, one.collection)
        yield one, score_block(heads, one.collection, one.rows, views, job.kernels, one.before)


def write_table(
    job: Scoring, append: bool, overwrite: bool, advance: Callable[[int], object], score: Score = score_here
) -> Counts:
    """Score every image that has features; `advance` is told of each block's images. `score`: who does it.

    Raises ExistsError if the table is there, with neither `append` nor `overwrite`; RunError if it, or what an earlier
    call left, is of other heads, views or features; SpecError and CollectionError for features that do not fit or are
    damaged; OutputError.
    """
    for collection in job.collections:
        for head in job.heads.values():
            refuse_other_shape(head, collection)
    identity = identity_of(job)
    adding = append and job.out.exists()
    _clear_what_a_kill_left(job)
    if job.out.exists() and not (adding or overwrite):
        raise ExistsError(f"--out {job.out}: expected a new file, found one that exists; --append adds what is new to "
                          "it, --overwrite scores anew")  # fmt: skip
    if adding:
        refuse_other_table(job, identity)
    try:
        older = older_rows(job) if adding else None
        counts = _fill_part(job, identity, older, advance, score)
        _publish(job, identity, adding)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"--out {job.out}: cannot be written: {error.strerror}") from error
    counts.gone = older.gone if older else 0
    return counts


def _clear_what_a_kill_left(job: Scoring) -> None:
    """Remove the part of a table that has got its name, and what is said of it: the kill came before they were gone."""
    if job.part.is_file() and job.out.exists() and about(job.out).exists():
        known = read_json(about(job.out), "what a table says of itself")
        if known.get("part") == sha256_of(job.part) and known.get("sha256") == sha256_of(job.out):
            job.part.unlink()
    if not job.part.exists():
        for left in (about(job.part), marks_of(job.part)):
            left.unlink(missing_ok=True)


def identity_of(job: Scoring) -> dict[str, Any]:
    """Describe what the scores are of, as JSON values."""
    return {
        "heads": sorted(sha256_of(checkpoint_of(Path(path))) for path in job.heads),
        "views": job.views,
        "precision": job.kernels.precision,
        "fingerprints": sorted({collection.spec.fingerprint for collection in job.collections}),
        "collections": [collection.uuid for collection in job.collections],
        "format": "csv-safe" if job.safe_csv else job.kind,
        "block": BLOCK,
    } | ({"columns": LABELS_SAID} if job.labelled else {})


def named(job: Scoring) -> dict[str, Any]:
    """Tell where heads and collections were, for people; moved or copied they stay the same."""
    return {"runs": list(job.heads), "features": [str(collection.path) for collection in job.collections]}


def made() -> dict[str, Any]:
    """Tell when and with which versions a table was written."""
    return {"amnet": amnet_common.__version__, "made": made_here()}


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_other_table(job: Scoring, identity: Mapping[str, Any]) -> None:
    """Raise RunError if the table that is to be added to is of other heads, views or features, was changed since, or
    has images that the collections have not, or not in this order.
    """
    if not about(job.out).exists():
        raise RunError(f"--append: expected {about(job.out).name} beside {job.out}, which says what its scores are of, "
                       "found none; --overwrite scores anew")  # fmt: skip
    begun = read_json(about(job.out), "what a table says of itself")
    if sha256_of(job.out) not in (begun.get("sha256"), begun.get("before")):
        raise RunError(f"--append: expected {job.out} as it was written, found it changed since; give another --out")
    lines = unlike(begun, identity, COMPARED, job)
    if lines:
        raise RunError(f"--append: {job.out} has scores of something else: {'; '.join(lines)}")
    older = older_rows(job)
    for collection in job.collections:
        for id_ in collection.ids:
            older.take(id_)
    older.finish()


def _fill_part(
    job: Scoring, identity: Mapping[str, Any], old: Older | None, advance: Callable[[int], object], score: Score
) -> Counts:
    """Write OUT.part to its end, from the last block that an earlier call left whole."""
    counts = Counts()
    known: dict[Path, Standing] = {}
    whole = _whole_blocks(job, identity)
    write_json(about(job.part), {"identity": {**identity, **named(job)}, "blocks": whole[:1]})
    with begun_marks(marks_of(job.part), whole[1:]) as marks, open(job.part, "r+b") as file:
        file.truncate(whole[-1][0])
        file.seek(whole[-1][0])
        todo = (
            Block(one, rows, [old.take(one.ids[row]) if old else None for row in rows]) for one, rows in blocks(job)
        )
        for block in itertools.islice(todo, len(whole) - 1):
            counts.resumed += len(block.rows)
            advance(len(block.rows))
        for block, table in score(job, todo):
            rows = block.rows
            counts.add(table, block.before)
            if job.labelled:
                file.write(_lines(with_labels(table, rows, _standing(known, job, block.collection)), job))
            else:
                file.write(_lines(table, job))
            file.flush()
            os.fsync(file.fileno())
            add_mark(marks, file.tell(), block_checksum(block.collection, rows))
            advance(len(rows))
    return counts


def _standing(known: dict[Path, Standing], job: Scoring, collection: Collection) -> Standing:
    """What the images of a collection are to the heads, found out once."""
    if collection.path not in known:
        known[collection.path] = standing(job.heads, collection)
    return known[collection.path]


def unlike(begun: Mapping[str, Any], now: Mapping[str, Any], keys: Iterable[str], job: Scoring) -> list[str]:
    """Return a line for each of `keys` in which the two differ; heads and collections by the names they had."""
    texts = {"heads": ("runs", job.heads), "collections": ("features", [one.path for one in job.collections])}
    found = []
    for key in keys:
        if begun.get(key) != now[key]:
            name, here = texts.get(key, (key, [now[key]]))
            there = begun.get(name, [])
            there = there if isinstance(there, list) else [there]
            found.append(f"{key}: expected {', '.join(map(str, there))}, found {', '.join(map(str, here))}")
    return found


def block_checksum(collection: Collection, rows: np.ndarray) -> int:
    """Compute the CRC-32C of what a block's rows depend on: the ids, which images have features, and which."""
    names = crc32c.crc32c("\0".join(collection.ids[row] for row in rows).encode("utf-8", "surrogateescape"))
    marks = crc32c.crc32c(collection.status[rows].tobytes(), names)
    return int(crc32c.crc32c(collection.checksums[rows].tobytes(), marks))


def _whole_blocks(job: Scoring, identity: Mapping[str, Any]) -> list[list[int]]:
    """Where the header and each block of OUT.part end, with the block's checksum, as far as their features are still
    the same; of a new part the header alone. Raises RunError for a part of another scoring.
    """
    if not goes_on(job):
        for left in (about(job.part), marks_of(job.part)):
            left.unlink(missing_ok=True)
        with whole_file(job.part, "--out") as temporary:  # in place of a link that stands there, not through it
            write_csv(temporary, (), job.steps, job.labelled)
        return [[job.part.stat().st_size, 0]]
    begun = read_json(about(job.part), "what a part says of itself")
    with damage_named(about(job.part)):
        # a collection that follows a folder is another one each night: its blocks tell how far it is the same
        keys = [key for key in identity if key != "collections" or not follows(job.collections)]
        lines = unlike(checked("identity", dict, begun["identity"]), identity, keys, job)
        if lines or job.part.stat().st_size < begun["blocks"][-1][0]:
            found = "; ".join(lines) or "it has been cut"
            raise RunError(f"--out {job.out}: {job.part} is left of another scoring ({found}); go on with that one, or "
                           f"remove it and {about(job.part).name}")  # fmt: skip
        ends = [[checked("blocks", int, one) for one in (block[0], block[1])] for block in begun["blocks"]]
    ends += read_marks(marks_of(job.part), ends[-1][0], job.part.stat().st_size)
    whole = ends[:1]
    for block, (collection, rows) in zip(ends[1:], blocks(job), strict=False):
        if block[1] != block_checksum(collection, rows):
            break
        whole.append(block)
    return whole


def _lines(rows: Sequence[ScoreRow], job: Scoring) -> bytes:
    """As `write_csv` has them."""
    text = io.StringIO(newline="")
    exact = job.kind != "csv"  # what the other formats are made from keeps every byte
    csv.writer(text).writerows(as_texts(as_record(row, job.steps, job.labelled), exact, job.safe_csv) for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def blocks(job: Scoring) -> Iterator[tuple[Collection, np.ndarray]]:
    """Yield all rows of all collections in their order, some at a time."""
    for collection in job.collections:
        size = max(1, BLOCK // (len(views_of(job, collection)) * len(job.heads)))
        for start in range(0, len(collection), size):
            yield collection, np.arange(start, min(start + size, len(collection)))


def older_rows(job: Scoring) -> Older:
    """Return the rows of the table that is added to."""
    kind = Following if follows(job.collections) else Matched
    ids = (id_ for collection in job.collections for id_ in collection.ids)
    return kind(job.out, job.kind, job.steps, job.safe_csv, ids)


def views_of(job: Scoring, collection: Collection) -> range:
    """Return the views of a collection that are scored."""
    return range(collection.views if job.views == ALL else 1)


def _publish(job: Scoring, identity: Mapping[str, Any], adding: bool) -> None:
    """The part as a whole table of its format, under its name. A kill in between leaves what the same command, or
    --append, resumes: OUT.json knows the table that is being replaced too.
    """
    with contextlib.ExitStack() as undone:
        ready = job.part
        if job.kind != "csv":
            ready = undone.enter_context(temporary_beside(job.out))
            rows = read_rows(job.part, "csv", job.steps)
            WRITERS[job.kind](ready, rows, job.steps, job.labelled, {**identity, **named(job), **made()})
        _take_place(job, identity, ready, adding)


def _take_place(job: Scoring, identity: Mapping[str, Any], ready: Path, adding: bool) -> None:
    known = {**identity, **named(job), **made()}
    if adding:
        known["before"] = sha256_of(job.out)
    else:
        job.out.unlink(missing_ok=True)  # scores of others must not stand beside what is said of these
    write_json(about(job.out), {**known, "sha256": sha256_of(ready), "part": sha256_of(job.part)})
    replace_by(ready, job.out)
    for left in (about(job.part), marks_of(job.part), job.part):
        left.unlink(missing_ok=True)
