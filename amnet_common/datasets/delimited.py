"""A table as text: commas, semicolons or tabs between cells, in the encodings and line ends of spreadsheets."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from amnet_common.datasets.table import Problems, Table, of_rows, refuse_sizes
from amnet_common.errors import DatasetError

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = (",", ";", "\t")  # spreadsheets in many countries save with semicolons
LONG_CELL = 16_384  # bytes with a line break in it: a quote that was never closed
SAMPLE = 20  # lines that say which delimiter it is
SEP_LINE = re.compile(r'"?sep=([,;\t|])"?[ \t,;]*(?:\r\n|\r|\n)', re.IGNORECASE)  # what Excel is told by
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def read_delimited(path: Path, option: str, data: bytes) -> Table:
    """Read the bytes of a table. Bytes that are no UTF-8 stay as Python's surrogates, and `as_western` reads them.

    Raises DatasetError, which begins with the option or with file and line.
    """
    try:
        return _parsed(path, option, decoded(data))
    except (UnicodeDecodeError, csv.Error) as error:
        unclosed = "unexpected end of data" in str(error)
        reason = "a quote that is not closed" if unclosed else error
        raise DatasetError(f"{option} {path}: expected a readable UTF-8 CSV file, found {reason}") from error


def decoded(data: bytes) -> str:
    """Decode a text by its byte order mark, by the zeros of UTF-16 without one, or as UTF-8. Raises UnicodeError."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
            return data.decode(encoding, errors)
    start = data[:1000]
    for encoding, zeros, others in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if 2 * zeros.count(0) > len(zeros) > 0 and not others.count(0):
            return data.decode(encoding)
    return data.decode("utf-8", "surrogateescape")


def as_western(text: str) -> str:
    """Return a text whose bytes are no UTF-8 as Windows-1252 has it, what Excel saves as "CSV" in Western Europe."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parsed(path: Path, option: str, text: str) -> Table:
    sep = SEP_LINE.match(text)
    start = sep.end() if sep else 0
    first_line = re.split(r"[\r\n]", text[start : start + 1_000_000], maxsplit=1)[0]
    delimiter = sep[1] if sep else _delimiter(text, start)
    reader = _reader(text, start, delimiter)
    skipped = 1 if sep else 0
    header: list[str] = []
    for header in reader:
        if any(map(str.strip, header)):
            break
    names = [as_western(name) if is_broken(name) else name for name in header]
    refuse_sizes(path, option, len(names))
    problems, rows, lines = Problems(path), list[list[str]](), list[int]()
    header_line = reader.line_num + skipped
    for cells in reader:
        if not any(map(str.strip, cells)):
            continue
        line = reader.line_num + skipped
        if any(len(cell) > LONG_CELL and "\n" in cell for cell in cells):
            raise DatasetError(f"{path}:{line}: expected a cell of one line, found a quote that is not closed")
        if any(map(str.strip, cells[len(names) :])):
            problems.add(line, f"expected {len(names)} fields, found more{_cure(cells, delimiter)}")
        rows.append(cells[: len(names)] + [""] * (len(names) - len(cells)))
        lines.append(line)
        refuse_sizes(path, option, len(names), len(rows) * len(names))
    return of_rows(path, option, names, rows, lines, header_line, header=first_line.strip(), delimiter=delimiter,
                   problems=problems)  # fmt: skip


def is_broken(text: str) -> bool:
    """Tell whether a text holds bytes that are no UTF-8."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def _reader(text: str, start: int, delimiter: str, strict: bool = True) -> "Reader":
    file = io.StringIO(text, newline="")
    file.seek(start)
    spaced = f'{delimiter} "' in text[start : start + 100_000]
    return csv.reader(file, delimiter=delimiter, strict=strict, skipinitialspace=spaced)


def _delimiter(text: str, start: int) -> str:
    """The delimiter that gives the header most cells, and the lines below it as many as it has."""
    sample = "".join(islice(io.StringIO(text[start : start + 200_000], newline=""), 10 * SAMPLE))

    def fit(delimiter: str) -> tuple[float, int]:
        lines = list(islice(_lines(sample, delimiter), SAMPLE))
        wide = len(lines[0]) if lines else 1
        alike = sum(len(line) == wide for line in lines) / max(1, len(lines))
        return (alike if wide > 1 else 0, wide)

    return max(DELIMITERS, key=fit)


def _lines(sample: str, delimiter: str) -> Iterator[list[str]]:
    """The lines of a sample that hold something, up to where it cannot be read."""
    try:
        yield from (line for line in _reader(sample, 0, delimiter, strict=False) if any(map(str.strip, line)))
    except csv.Error:
        return


def _cure(cells: list[str], delimiter: str) -> str:
    if delimiter == "," and all(cell.strip().isdecimal() for cell in cells[-2:]):
        return "; commas that stand before fractions cannot be told from those between cells: save it with semicolons"
    return ""
