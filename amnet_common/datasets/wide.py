"""A table with a column for each person's ratings, turned into one row a rating; and whether a table looks like one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby

from amnet_common.datasets.cells import Cell
from amnet_common.datasets.table import Table, refuse_sizes
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.small_texts import shortened

RATER, SCORE = "rater", "score"  # the columns of the rows that come out
LEAST_ALIKE = 3  # columns of one name with a number that look like people
NUMBERED = re.compile(r"(.*?\D|)(\d+)")


def long_form(table: Table, wanted: str) -> Table:
    """Return a table with a row for each rating: the columns that `wanted` names become `rater` and `score`.

    `wanted`: names or patterns such as `P*`, with commas between them. Raises ConfigError for a pattern that no column
    has, or all have; DatasetError for a column `rater` or `score` beside them, and for more cells than are read.
    """
    raters = columns_of(table, wanted)
    kept = [k for k in range(len(table.names)) if k not in raters]
    taken = [table.names[k] for k in kept if table.names[k].lower() in (RATER, SCORE)]
    if taken:
        raise DatasetError(f"{table.path}:{table.header_line}: --rater-columns {wanted}: expected no column "
                           f"{taken[0]} beside the raters', found one; give it another name")  # fmt: skip
    rows = range(len(table.lines))
    refuse_sizes(table.path, table.option, len(kept) + 2, len(rows) * len(raters) * (len(kept) + 2))
    others = [[cell for cell in table.columns[k] for _ in raters] for k in kept]
    people: list[Cell] = [table.names[k] for _ in rows for k in raters]
    scores = [table.columns[k][row] for row in rows for k in raters]
    return replace(
        table, names=(*(table.names[k] for k in kept), RATER, SCORE), columns=(*others, people, scores),
        lines=[line for line in table.lines for _ in raters],
        notes=(*table.notes, f"{table.path}: {len(raters)} columns of raters, {table.names[raters[0]]} to "
                             f"{table.names[raters[-1]]}"),
    )  # fmt: skip


def columns_of(table: Table, wanted: str) -> list[int]:
    """Return the numbers of the columns that names or patterns mean, without regard to case, in their order.

    Raises ConfigError.
    """
    patterns = [part.strip().lower() for part in wanted.split(",") if part.strip()]
    found: set[int] = set()
    for pattern in patterns:
        same = [k for k, name in enumerate(table.names) if name and fnmatchcase(name.lower(), pattern)]
        if not same:
            names = shortened(", ".join(name for name in table.names if name), 200)
            raise ConfigError(f"--rater-columns: expected names or patterns of columns of {table.path}, found "
                              f"{pattern!r} and the columns {names}")  # fmt: skip
        found.update(same)
    if len(found) < 2 or len(found) == len(table.names):
        raise ConfigError(f"--rater-columns: expected two columns or more, and the images beside them, found "
                          f"{wanted!r}: {len(found)} of the {len(table.names)} columns of {table.path}")  # fmt: skip
    return sorted(found)


def looks_wide(table: Table, is_numeric: Callable[[int], bool]) -> Iterator[str]:
    """Yield how --rater-columns would be given, where neighbouring columns of numbers are called alike: P1, P2, P3."""
    for stem, group in groupby(range(len(table.names)), lambda k: _stem(table.names[k])):
        alike = list(group)
        if stem and len(alike) >= LEAST_ALIKE and all(map(is_numeric, alike)):
            first, last = table.names[alike[0]], table.names[alike[-1]]
            yield f"{first} to {last} look like one column a person: --rater-columns '{stem}*' takes their mean"


def _stem(name: str) -> str:
    """What stands before the number that a name ends in; empty if it ends in none."""
    match = NUMBERED.fullmatch(name)
    return match[1] if match else ""
