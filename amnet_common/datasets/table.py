"""A table as it was read, whatever its format: columns of cells with the line that each came from; and its errors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amnet_common.datasets.cells import Cell, text_of
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

MOST_BYTES = 2**30  # a table of ten million images is smaller
MOST_COLUMNS = 16_384  # of Excel's sheets
MOST_CELLS = 50_000_000
MOST_SHOWN = 10  # errors


@dataclass
class Problems:
    """Collect what is wrong with a table, to be said in one go."""

    path: Path
    found: list[tuple[int, str]] = field(default_factory=list)  # line and text; as many as are shown, and one more
    count: int = 0

    def add(self, line: int, text: str) -> None:
        """Add what is wrong with a line."""
        self.count += 1
        self.found.append((line, text))
        if len(self.found) > 1000 * MOST_SHOWN:  # a million bad lines need not be kept
            self.found = sorted(self.found, key=_line)[:MOST_SHOWN]

    def refuse(self) -> None:
        """Raise DatasetError if anything is wrong: the first is its text, and nine more are its notes."""
        if not self.count:
            return
        first, *others = (f"{self.path}:{line}: {text}" for line, text in sorted(self.found, key=_line)[:MOST_SHOWN])
        error = DatasetError(first)
        for other in others:
            error.add_note(other)
        if self.count > MOST_SHOWN:
            error.add_note(f"{self.path}: {self.count - MOST_SHOWN} more such lines")
        raise error


@dataclass(frozen=True)
class Table:
    """Hold a table by columns. `names` may be empty texts, but none of them stands twice."""

    path: Path
    option: str  # that named the file
    names: tuple[str, ...]
    columns: tuple[list[Cell], ...]
    lines: Sequence[int]  # (rows,) numbers from 1, as an editor or a spreadsheet shows them
    header: str = ""  # its first line as it stands in the file, for messages
    header_line: int = 1
    delimiter: str = ""  # of a text
    notes: tuple[str, ...] = ()
    problems: Problems = field(default_factory=lambda: Problems(Path()))  # of its lines, whatever is asked of them

    def where(self, row: int) -> str:
        """Return where a row stands, for messages."""
        return f"{self.path}:{self.lines[row]}"

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column as texts."""
        return [text_of(cell) for cell in self.columns[column]]

    def title(self, column: int) -> str:
        """Return how a column is called in messages."""
        return shortened(self.names[column]) if self.names[column] else f"number {column + 1}, without a name"


def refuse_sizes(path: Path, option: str, columns: int, cells: int = 0) -> None:
    """Raise DatasetError for a table of more columns or cells than any is read."""
    if columns > MOST_COLUMNS:
        raise DatasetError(f"{option} {path}: expected at most {MOST_COLUMNS} columns, found {columns}")
    if cells > MOST_CELLS:
        raise DatasetError(f"{option} {path}: expected at most {MOST_CELLS} cells, found more")


def of_rows(
    path: Path, option: str, titles: Sequence[str], rows: Sequence[Sequence[Cell]], lines: Sequence[int],
    header_line: int = 1, **more: object,
) -> Table:  # fmt: skip
    """Build a table of rows, each as long as the titles; columns without a name and a value are left out.

    Raises DatasetError if a name stands twice.
    """
    names = [name.strip() for name in titles]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DatasetError(f"{path}:{header_line}: expected each column once, found {shortened(twice[0])} again")
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]
    more.setdefault("problems", Problems(path))
    kept = [k for k, name in enumerate(names) if name or any(text_of(cell).strip() for cell in columns[k])]
    return Table(path, option, tuple(names[k] for k in kept), tuple(columns[k] for k in kept), lines,
                 header_line=header_line, **more)  # type: ignore[arg-type]  # fmt: skip


def _line(problem: tuple[int, str]) -> int:
    return problem[0]
