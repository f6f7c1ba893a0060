"""Rows as text: an aligned Markdown table with rounded figures, or CSV or JSON with every digit."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from amnet_common.commands import printable
from headtrain.evaluation.metrics import METRICS

Rows = Sequence[Mapping[str, Any]]

ROUNDED = {"val-rho": ".4f", "test-rho-low": ".3f", "test-rho-high": ".3f", "epochs-trained": "g", "minutes": ".1f"}
ROUNDED |= {metric.board: f".{metric.digits + 1}f" for metric in METRICS.values() if metric.board}
SPREAD, LOW, HIGH = "-sd", "-low", "-high"  # columns that the table joins with the one they belong to
NOTHING = "-"


def as_json(rows: Rows) -> str:
    """Return rows as JSON: a list of objects, null where there is no value."""
    return json.dumps([*rows], indent=2, allow_nan=False)


def as_csv(rows: Rows) -> str:
    """Return rows as CSV: a header and a line for each row, an empty cell where there is no value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([plain(value) for value in row.values()] for row in rows)
    return file.getvalue().rstrip("\n")


def plain(value: object) -> object:
    """Return a cell of CSV: numbers as they are, so that every digit is written."""
    return str(value).lower() if isinstance(value, bool) else printable(value) if isinstance(value, str) else value


def as_table(rows: Rows) -> str:
    """Return rows as a Markdown table, each column as wide as its widest cell.

    Spreads and intervals stand in one cell with what they belong to.
    """
    columns = [column for column in rows[0] if not column.endswith((SPREAD, LOW, HIGH))]
    lines = [columns, *([cell(row, column) for column in columns] for row in rows)]
    lines[0] = ["" if column == "best" else column for column in columns]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    texts = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
             for line in lines]  # fmt: skip
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def cell(row: Mapping[str, Any], column: str) -> str:
    """Return a cell of the table, with spread or interval where the row has one."""
    if column == "best":
        return "*" if row[column] else ""
    text = rounded(row[column], column)
    if row.get(column + SPREAD) is not None:
        text += f" ± {rounded(row[column + SPREAD], column)}"
    if row.get(column + LOW) is not None:
        text += f" [{rounded(row[column + LOW], column + LOW)}, {rounded(row[column + HIGH], column + HIGH)}]"
    return text


def rounded(value: object, column: str) -> str:
    """Return a value as text for the eye: a float rounded as its column asks, `-` for None."""
    if isinstance(value, float):
        return format(value, ROUNDED.get(column, "g"))
    return NOTHING if value is None else str(plain(value)).replace("|", "\\|")
