"""Tables of scores as CSV, JSON lines and Parquet, written and read row by row. Parquet needs an extra."""

import csv
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from amnet_common.errors import ConfigError, ExtraError, RunError
from amnet_common.files import whole_file
from amnet_common.small_texts import reason_of
from headtrain.scoring.rows import ScoreRow, as_record, as_texts, columns, from_record, no_formula, shown

Write = Callable[[Path, Iterable[ScoreRow], int, bool, Mapping[str, Any] | None], None]
Read = Callable[[Path], Generator[Mapping[str, Any]]]
GROUP = 16_384  # rows of a Parquet file written together


def write_csv(
    path: Path, rows: Iterable[ScoreRow], steps: int, labelled: bool = False, _: Mapping[str, Any] | None = None
) -> None:
    """Write a table as CSV, with a header. Bytes of names that are not UTF-8 stand as \\xNN."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(columns(steps, labelled))
        writer.writerows(as_texts(as_record(row, steps, labelled)) for row in rows)


def read_csv(path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the records of a CSV table."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        yield from csv.DictReader(file)


def write_jsonl(
    path: Path, rows: Iterable[ScoreRow], steps: int, labelled: bool = False, _: Mapping[str, Any] | None = None
) -> None:
    """Write a table as JSON lines, one object a line, ASCII."""
    with open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps(as_record(row, steps, labelled), allow_nan=False) + "\n" for row in rows)


def read_jsonl(path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the records of a table of JSON lines."""
    with open(path, encoding="ascii") as file:
        try:
            yield from map(json.loads, file)
        except RecursionError as error:
            raise ValueError("lists in each other without end") from error


def write_parquet(
    path: Path, rows: Iterable[ScoreRow], steps: int, labelled: bool = False, about: Mapping[str, Any] | None = None
) -> None:
    """Write a table as Parquet: texts are strings, figures float64; bytes of names that are not UTF-8 stand as \\xNN.
    `about`, what the scores are of, stands as JSON in the file's metadata, under `amnet`. Raises ExtraError without
    pyarrow.
    """
    arrow, parquet = _arrow()
    kinds = {name: arrow.string() for name in ("id", "status", "reason", "features", "collection", "split")}
    schema = arrow.schema([(name, kinds.get(name, arrow.float64())) for name in columns(steps, labelled)])
    if about is not None:
        schema = schema.with_metadata({"amnet": json.dumps(about)})
    with parquet.ParquetWriter(path, schema) as writer:
        left = iter(rows)
        while some := list(islice(left, GROUP)):
            records = [{key: _utf8(value) for key, value in as_record(row, steps, labelled).items()} for row in some]
            writer.write_table(arrow.Table.from_pylist(records, schema))


def read_parquet(path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the records of a Parquet table. Raises ExtraError without pyarrow."""
    _, parquet = _arrow()
    with parquet.ParquetFile(path) as file:
        for some in file.iter_batches(GROUP):
            yield from some.to_pylist()


WRITERS: Mapping[str, Write] = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}
READERS: Mapping[str, Read] = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}
FORMATS = tuple(WRITERS)
FORMAT_NAMES = f".{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}"


def format_of(path: Path, wanted: str | None) -> str:
    """Return `wanted`, or the format that the file's ending says. Raises ConfigError for another ending; ExtraError if
    Parquet cannot be written.
    """
    found = wanted or path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise ConfigError(f"--out {path}: expected a file ending in .{', .'.join(FORMATS)}, found "
                          f"{path.suffix or 'no ending'}")  # fmt: skip
    if found == "parquet":
        _arrow()
    return found


def written_id(id_: str, kind: str, safe: bool = False) -> str:
    """Return an image's id as a table of that format gives it back."""
    text = id_ if kind == "jsonl" else shown(id_)
    return no_formula(text) if safe else text


def write_whole(path: Path, kind: str, rows: Iterable[ScoreRow], steps: int) -> None:
    """Write a whole table or none. Raises OutputError."""
    with whole_file(path, "--out") as temporary:
        WRITERS[kind](temporary, rows, steps, False, None)


def read_rows(path: Path, kind: str, steps: int) -> Generator[ScoreRow]:
    """Yield the rows of a table that was written here. Raises RunError, with the row, for another file."""
    number = 0
    try:
        for record in READERS[kind](path):
            number += 1
            yield from_record(record, steps)
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise RunError(f"{path}: row {number}: expected a table of amnet-head score with {steps} steps, found another "
                       f"file ({reason_of(error)})") from error  # fmt: skip


def is_table(path: Path) -> bool:
    """Tell whether a file is a table of scores in one of the formats, by its first record's columns."""
    for kind in FORMATS:
        try:
            with closing(READERS[kind](path)) as records:
                first = next(records, None)
        except (ExtraError, OSError, ValueError, csv.Error):  # pyarrow's errors are ValueErrors
            continue
        if isinstance(first, Mapping) and set(columns(1)) <= first.keys():
            return True
    return False


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExtraError("expected pyarrow to write Parquet, found none; pip install 'amnet[parquet]'") from error
    return pyarrow, pyarrow.parquet


def _utf8(value: object) -> object:
    return shown(value) if isinstance(value, str) else value
