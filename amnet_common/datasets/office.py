"""Tables that are no text (Excel, OpenDocument, SPSS, Parquet, Feather), read by pandas in a process apart."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amnet_common.datasets.cells import Cell, text_of
from amnet_common.datasets.office_child import MARK
from amnet_common.datasets.table import Table, of_rows, refuse_sizes
from amnet_common.errors import DatasetError, ExtraError

EXCEL, OPENDOCUMENT, SPSS, PARQUET, FEATHER, OLD_EXCEL = "excel", "opendocument", "spss", "parquet", "feather", "xls"
STARTS = {b"$FL2": SPSS, b"$FL3": SPSS, b"PAR1": PARQUET, b"ARROW1": FEATHER, b"FEA1": FEATHER,
          b"\xd0\xcf\x11\xe0": OLD_EXCEL}  # fmt: skip
NAMES = {EXCEL: "an Excel workbook", OPENDOCUMENT: "an OpenDocument table", SPSS: "an SPSS file",
         PARQUET: "a Parquet file", FEATHER: "a Feather file"}  # fmt: skip
PACKAGES = {EXCEL: "openpyxl", OPENDOCUMENT: "odf", SPSS: "pyreadstat", PARQUET: "pyarrow", FEATHER: "pyarrow"}
MOST_UNPACKED = 2**29  # bytes of what a workbook's archive holds: a million rows of ten columns take half of it
MOST_CELLS = 10_000_000  # a million rows of ten columns
MOST_SECONDS = 900  # by the clock
SCRIPT = ("import sys; sys.path[:] = sys.argv[4:]; from amnet_common.datasets.office_child import serve; "
          "serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))")  # fmt: skip


def kind_of(data: bytes) -> str | None:
    """Return which table that is no text begins so, by its first bytes and what an archive holds; None for others."""
    for start, kind in STARTS.items():
        if data.startswith(start):
            return kind
    if not data.startswith(b"PK\3\4"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return EXCEL  # which refuses it by that name
    return OPENDOCUMENT if "content.xml" in names else EXCEL


def read_office(path: Path, option: str, kind: str, data: bytes) -> Table:
    """Read a table of a kind that `kind_of` knows; of a workbook its first sheet.

    Raises ExtraError that names the extra, DatasetError for what cannot be read.
    """
    if kind == OLD_EXCEL:
        raise DatasetError(f"{option} {path}: expected a table, found an Excel workbook of before 2007; save it as "
                           ".xlsx or CSV")  # fmt: skip
    for package in ("pandas", PACKAGES[kind]):
        if importlib.util.find_spec(package) is None:
            raise ExtraError(f"{option} {path}: expected {package} to read {NAMES[kind]}, found none; pip install "
                             "'amnet[tables]', or save the table as CSV")  # fmt: skip
    if kind in (EXCEL, OPENDOCUMENT):
        _refuse_bombs(path, option, kind, data)
    answer = _asked(path, kind)
    if "rows" not in answer:
        raise DatasetError(f"{option} {path}: expected {NAMES[kind]}, found {answer.get('error')}")
    rows: list[list[Cell]] = [[float("nan") if cell is None else cell for cell in row] for row in answer["rows"]]
    note = [f"{path}: {answer['note']}"] if answer["note"] else []
    return _as_table(path, option, rows, first=0 if kind in (EXCEL, OPENDOCUMENT) else 1, notes=note)


def _as_table(path: Path, option: str, rows: Sequence[Sequence[Cell]], first: int, notes: Sequence[str]) -> Table:
    """A table of rows, the first with more than one cell being its titles. `first`: how many lines are not counted."""
    cells = [sum(bool(text_of(cell).strip()) for cell in row) for row in rows]
    start = next((place for place, count in enumerate(cells) if count > 1), 0)
    filled = [place for place, count in enumerate(cells) if count and place >= start]
    if not filled:
        raise DatasetError(f"{path}:1: expected columns id,score, found an empty table")
    titles = [text_of(cell) for cell in rows[filled[0]]]
    refuse_sizes(path, option, len(titles))
    return of_rows(
        path, option, titles, [rows[place] for place in filled[1:]], [place + 1 - first for place in filled[1:]],
        max(1, filled[0] + 1 - first), header=",".join(titles), notes=tuple(notes),
    )  # fmt: skip


def _refuse_bombs(path: Path, option: str, kind: str, data: bytes) -> None:
    """Raise DatasetError for an archive that cannot be read, or that holds much more than a table does."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise DatasetError(
            f"{option} {path}: expected {NAMES[kind]}, found an archive that is damaged: {error}"
        ) from error
    if size > MOST_UNPACKED:
        raise DatasetError(f"{option} {path}: expected at most {MOST_UNPACKED} bytes in its archive, found {size}; "
                           "save the table as CSV")  # fmt: skip


def _asked(path: Path, kind: str) -> dict[str, Any]:
    """What the process apart says of a table."""
    words = [sys.executable, "-c", SCRIPT, kind, str(path.resolve()), str(MOST_CELLS), *sys.path]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=MOST_SECONDS, check=False, env=os.environ | {"PYTHONUTF8": "1"})  # fmt: skip
    except OSError as error:
        return {"error": f"that no process could be started to read it: {error.strerror or error}"}
    except subprocess.TimeoutExpired:
        return {"error": f"that it takes more than {MOST_SECONDS} s to read"}
    _, mark, text = done.stdout.partition(MARK)
    if not mark:
        return {"error": f"that its reader dies of it (status {done.returncode})"}
    return dict(json.loads(text))
