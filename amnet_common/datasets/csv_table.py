"""A table saved as CSV, line by line: a regular file of UTF-8, each column once, each line with as many cells."""

import csv
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from amnet_common.errors import DatasetError
from amnet_common.files import without_waiting
from amnet_common.small_texts import shortened

DELIMITERS = (",", ";", "\t")  # spreadsheets in many countries save with semicolons
MOST_BYTES = 2**30  # a table of ten million images is smaller
LONG_CELL = 16_384  # bytes with a line break in it: a quote that was never closed


def table_lines(
    path: Path, option: str, columns: Sequence[str], errors: str = "strict", more: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each line stands, for messages, and its cells by column; `columns` must be among them.

    `errors`: what is done about bytes that are no UTF-8, as open has it. `more`: other columns, for messages.

    Raises DatasetError, which begins with the option or with file and line.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors=errors, opener=without_waiting) as file:
            _refuse_unlikely(path, option, file.fileno())
            header = file.readline(MOST_BYTES)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(DELIMITERS, key=header.count), restval="", strict=True)
            names = list(reader.fieldnames or ())
            if not set(columns) <= set(names):
                found = shortened(header.strip(), 300)
                raise DatasetError(f"{path}:1: expected columns {','.join(columns)}{more}, found {found}")
            if twice := sorted({name for name in names if name and names.count(name) > 1}):
                raise DatasetError(f"{path}:1: expected each column once, found {shortened(twice[0])} again")
            for line in reader:
                where = f"{path}:{reader.line_num}"
                if None in line:
                    raise DatasetError(f"{where}: expected {len(names)} fields, found more")
                if any(len(cell) > LONG_CELL and "\n" in cell for cell in line.values()):
                    raise DatasetError(f"{where}: expected a cell of one line, found a quote that is not closed")
                yield where, line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{option} {path}: expected a readable UTF-8 CSV file, found {_reason(error)}") from error


def _refuse_unlikely(path: Path, option: str, file: int) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise DatasetError(f"{option} {path}: expected a regular file, found another kind")
    if found.st_size > MOST_BYTES:
        raise DatasetError(f"{option} {path}: expected at most {MOST_BYTES} bytes, found {found.st_size}")


def _reason(error: OSError | UnicodeDecodeError | csv.Error) -> object:
    unclosed = "unexpected end of data" in str(error)
    return "a quote that is not closed" if unclosed else getattr(error, "strerror", None) or error
