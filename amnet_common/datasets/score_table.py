"""What another system says of images: a table of theirs, or one that amnet wrote, of whichever images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from amnet_common.datasets.any_table import read_table
from amnet_common.datasets.cells import is_missing, text_of, unclear_line
from amnet_common.datasets.columns import SPLIT, Columns, choose, numbers_of
from amnet_common.datasets.image_names import CollectionNames
from amnet_common.datasets.named_rows import named_rows, with_own_forms
from amnet_common.datasets.table import Table
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

STATUS, SCORED, UNSCORED = "status", "scored", ("failed", "pending")  # of the tables of amnet-head score


def read_score_table(
    path: Path, ids: Sequence[str], columns: Columns, tell: Callable[[str], object] = lambda _: None
) -> dict[str, float]:
    """Read the score of each image of `ids` that a table has one for; rows of other images are left out.

    `tell` gets what is to be said of how it was read. Raises DatasetError with file and line, with more such lines as
    its notes.
    """
    table = read_table(path, "--scores")
    known = CollectionNames(ids, "of the collection")
    chosen = choose(table, columns, known, machine=True)
    problems = table.problems
    rows, unscored = _scored_rows(table)
    rows = [row for row in rows if text_of(table.columns[chosen.id][row]).strip()]
    named = named_rows(table, chosen.id, known, rows, problems)
    row_of: dict[str, int] = {}
    others = 0
    for row, name in zip(rows, with_own_forms(named.ids, ids), strict=True):
        if name not in known:
            others += 1
        elif row_of.setdefault(name, row) != row:
            problems.add(table.lines[row], f"expected each image once, found {name!r} again")
    kept = [*row_of.values()]
    numbers = numbers_of(table, chosen.score, columns.decimal, kept)
    if numbers.unclear:
        raise DatasetError(f"{path}: column {table.title(chosen.score)}: {unclear_line(numbers.unclear)}")
    for place in numbers.bad:
        text = text_of(table.columns[chosen.score][kept[place]]).strip()
        problems.add(table.lines[kept[place]], f"expected a number as score, found {shortened(text)}")
    problems.refuse()
    how = [f"{path}: column {table.title(chosen.score)}: {numbers.how}"] if numbers.how else []
    left = [f"{path}: {unscored} rows that are not scored (column {STATUS!r}) are left out"] if unscored else []
    left += [line for line in [_seen_line(table, kept)] if line]
    left += [f"{path}: {others} rows name no image of the collection, and are left out"] if others else []
    for note in [*table.notes, *chosen.notes, *named.notes, *how, *left]:
        tell(note)
    return {name: value for name, value in zip(row_of, numbers.values.tolist(), strict=True) if not np.isnan(value)}


def _seen_line(table: Table, rows: Sequence[int]) -> str:
    """Tell how many rows are of images that the scoring heads were trained on, as tables of amnet's say."""
    names = [name.lower() for name in table.names]
    if not {STATUS, SPLIT} <= {*names}:
        return ""
    seen = sum(text_of(table.columns[names.index(SPLIT)][row]).strip() == "train" for row in rows)
    told = f"{table.path}: {seen} rows are of images that what scored them was trained on (column {SPLIT!r})"
    return f"{told}: a rho over these says nothing of new images" if seen else ""


def _scored_rows(table: Table) -> tuple[list[int], int]:
    """The rows that have a score, by the status of a table of amnet's, and how many have none."""
    names = [name.lower() for name in table.names]
    every = [*range(len(table.lines))]
    if STATUS not in names:
        return every, 0
    cells = table.columns[names.index(STATUS)]
    if not {text_of(cell) for cell in cells if not is_missing(cell)} <= {SCORED, *UNSCORED}:
        return every, 0
    rows = [row for row in every if text_of(cells[row]) not in UNSCORED]
    return rows, len(every) - len(rows)
