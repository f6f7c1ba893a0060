"""What a process of its own reads with pandas: a workbook, or another table that is no text. Run by `office`.

Such files are read by libraries that some bytes make crash, or take all memory; here only this process dies of it.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from amnet_common.child_limits import limit_memory

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]

MARK = b"\0amnet table\0"  # what an interpreter's start may say stands before it
MOST_SECONDS = 300  # of computing
MOST_BYTES = 4 * 2**30  # of memory, beyond what importing takes
SHEETS = {"excel": "openpyxl", "opendocument": "odf"}
MOST_REPLY = 2**29  # bytes
LONG_CELL = 100_000  # characters
PARTS = {"train", "val", "test", "validation", "valid"}
IMPORTED = {"spss": "pyreadstat", "parquet": "pyarrow.parquet", "feather": "pyarrow.feather", **SHEETS}


def serve(kind: str, path: str, most_cells: int) -> None:
    """Read a table and write it to standard output as JSON: rows with the titles first, and a note; or why not."""
    answer: dict[str, Any]
    try:
        rows, note = read_rows(kind, path, most_cells)
        answer = {"rows": rows, "note": note}
    except MemoryError:
        answer = {"error": f"that it takes more than {MOST_BYTES >> 30} GiB of memory"}
    except Exception as error:
        answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    with contextlib.suppress(MemoryError):  # then the reader is said to have died of it
        text = json.dumps(answer).encode()
        if len(text) > MOST_REPLY:
            text = json.dumps({"error": f"more than {MOST_REPLY} bytes of cells"}).encode()
        sys.stdout.buffer.write(MARK + text)
    sys.stdout.buffer.flush()
    os._exit(0)


def read_rows(kind: str, path: str, most_cells: int) -> tuple[list[list[str | float | None]], str]:
    """Read rows of texts, numbers and None with the titles first, and a note. Raises whatever the readers raise."""
    import importlib

    import pandas

    importlib.import_module(IMPORTED[kind])
    limit_memory(MOST_BYTES)
    _limit_time()
    note = ""
    if kind in SHEETS:
        with pandas.ExcelFile(path, engine=SHEETS[kind]) as book:
            frame = book.parse(0, header=None, dtype=object, keep_default_na=False, na_filter=False)
            if len(book.sheet_names) > 1:
                note = f"the first of {len(book.sheet_names)} sheets is read, {str(book.sheet_names[0])[:100]!r}"
        titled: Iterable[Any] = ()
    else:
        frame = _frame(pandas, kind, path, most_cells)
        if type(frame.index) is not pandas.RangeIndex:
            frame = frame.reset_index()
        titled = ([str(name) for name in frame.columns],)
    if frame.size > most_cells:
        raise ValueError(f"more than {most_cells} cells")
    return [*map(list, titled), *_plain_rows(frame)], note


def _frame(pandas: Any, kind: str, path: str, most_cells: int) -> Any:  # noqa: ANN401 - of a package that may be missing
    if kind == "spss":
        return _spss(path)
    if kind == "feather":
        return pandas.read_feather(path)
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    if about.num_rows * about.num_columns > most_cells:
        raise ValueError(f"more than {most_cells} cells")
    return pandas.read_parquet(path, engine="pyarrow")


def _spss(path: str) -> Any:  # noqa: ANN401
    """A file of SPSS: codes as numbers, but for parts of a split, whose codes are nothing without their names."""
    import pyreadstat

    frame, about = pyreadstat.read_sav(path)
    for column, labels in about.variable_value_labels.items():
        names = {code: str(label).strip() for code, label in labels.items()}
        if {name.lower() for name in names.values()} <= PARTS:
            frame[column] = frame[column].map(names)
    return frame


def _plain_rows(frame: Any) -> Iterator[list[str | float | None]]:  # noqa: ANN401
    for row in frame.itertuples(index=False, name=None):
        yield [_plain(cell) for cell in row]


def _plain(cell: Any) -> str | float | None:  # noqa: ANN401
    """A cell as text or number; None for none."""
    if hasattr(cell, "item") and getattr(cell, "ndim", 0) == 0:
        cell = cell.item()
    if cell is None or cell != cell or str(cell) in ("NaT", "<NA>"):  # noqa: PLR0124 - NaN
        return None
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, int | float) and not isinstance(cell, bool) and abs(cell) <= sys.float_info.max:
        return float(cell) if float(cell) == cell else str(cell)
    if len(text := str(cell)) > LONG_CELL:
        raise ValueError(f"a cell of more than {LONG_CELL} characters")
    return text


def _limit_time() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))
