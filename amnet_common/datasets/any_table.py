"""A table of whatever format, which its first bytes tell."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from amnet_common.datasets.delimited import read_delimited
from amnet_common.datasets.office import kind_of, read_office
from amnet_common.datasets.table import MOST_BYTES, Table
from amnet_common.errors import DatasetError
from amnet_common.files import without_waiting
from amnet_common.small_texts import shortened


def read_table(path: Path, option: str) -> Table:
    """Read a table from a regular file of at most MOST_BYTES; `option` named it.

    Raises DatasetError, which begins with the option or with file and line; ExtraError where it is no text, and the
    packages that read it are not there.
    """
    data = _bytes_of(path, option)
    kind = kind_of(data)
    return read_office(path, option, kind, data) if kind else read_delimited(path, option, data)


def table_lines(path: Path, option: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each line of a table stands, for messages, and its texts in `columns`, without regard to their case.

    Raises DatasetError as `read_table`, and where a column is not there.
    """
    table = read_table(path, option)
    table.problems.refuse()
    names = {name.lower(): place for place, name in enumerate(table.names)}
    names |= {name: place for place, name in enumerate(table.names)}
    missing = [name for name in columns if name not in names and name.lower() not in names]
    if missing:
        raise DatasetError(f"{path}:{table.header_line}: expected columns {','.join(columns)}, found "
                           f"{shortened(table.header, 300)}")  # fmt: skip
    texts = [table.texts(names.get(name, names.get(name.lower(), 0))) for name in columns]
    for row, cells in enumerate(zip(*texts, strict=True)):
        yield table.where(row), dict(zip(columns, cells, strict=True))


def _bytes_of(path: Path, option: str) -> bytes:
    try:
        with open(path, "rb", opener=without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DatasetError(f"{option} {path}: expected a regular file, found another kind")
            if found.st_size > MOST_BYTES:
                raise DatasetError(f"{option} {path}: expected at most {MOST_BYTES} bytes, found {found.st_size}")
            return file.read(MOST_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{option} {path}: expected a readable UTF-8 CSV file, found {reason}") from error
