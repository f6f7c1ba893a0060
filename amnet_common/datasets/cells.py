"""The cells of a column (pure): which say that there is no value, and which numbers the others are.

1.234 is one number where a point stands before the fraction and another where it stands between thousands. What the
whole column says decides; where it says nothing, that is said, and nothing is guessed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Cell = str | float  # a text, or a number where the file's format has numbers; NaN: empty
POINT, COMMA = "point", "comma"  # before the fraction
MISSING = frozenset({"", "na", "n/a", "#n/a", "#na", "#nv", "nan", "-nan", "null", "none", ".", "-", "--"}
                    | {"\u2013", "\u2014"})  # fmt: skip
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))  # spaces of no width, and the byte order mark
PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([, '\u2019])[0-9]{3}(?:\1[0-9]{3})*(?:\.[0-9]*)?")
SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ")
SWAPPED = {ord(","): ".", ord("."): ","}
PERCENT = "%"


def text_of(cell: Cell) -> str:
    """Return a cell as text: a whole number without its fraction, an empty cell as an empty text."""
    if isinstance(cell, str):
        return cell
    if math.isnan(cell):
        return ""
    return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)


def stripped(text: str) -> str:
    """Return a text without what cannot be seen: spaces of every kind around it, and those of no width."""
    return text.translate(INVISIBLE).strip()


def is_missing(cell: Cell) -> bool:
    """Tell whether a cell says that there is no value."""
    return math.isnan(cell) if isinstance(cell, float) else stripped(cell).lower() in MISSING


@dataclass(frozen=True)
class Numbers:
    """Hold a column as numbers. `bad`: places of cells that are none; `unclear`: a cell that two numbers are written
    as, where nothing in the column says which (the values are then of no use); `how`: what was found out, for people.
    """

    values: np.ndarray  # (n,) float64, NaN where there is none
    bad: tuple[int, ...] = ()
    unclear: str = ""
    how: str = ""


def as_numbers(cells: Sequence[Cell], decimal: str | None = None) -> Numbers:
    """Read a column of numbers; `decimal`, POINT or COMMA: what stands before the fraction, if that is known."""
    values = np.full(len(cells), np.nan)
    texts: dict[int, str] = {}
    for place, cell in enumerate(cells):
        if not isinstance(cell, str):
            values[place] = cell
        elif not is_missing(cell):
            texts[place] = stripped(cell).translate(SPACES).replace("\u2212", "-")
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    percent = sum(text.endswith(PERCENT) for text in texts.values()) * 2 > len(texts)
    if percent:
        texts = {place: text.removesuffix(PERCENT).rstrip() if text.endswith(PERCENT) else PERCENT
                 for place, text in texts.items()}  # fmt: skip
    points = {place: _number(text) for place, text in texts.items()}
    commas = {place: _number(text.translate(SWAPPED)) for place, text in texts.items()}
    if decimal is None:
        decimal, unclear = _decided(points, commas)
        if unclear is not None:
            return Numbers(values, unclear=texts[unclear])
    said = points if decimal == POINT else commas
    bad = [place for place, value in said.items() if value is None]
    for place, value in said.items():
        values[place] = np.nan if value is None else value / 100 if percent else value
    how = ["a comma stands before the fraction"] if decimal == COMMA and points != commas else []
    how += ["percent are read as hundredths"] if percent else []
    return Numbers(values, tuple(sorted(infinite + bad)), how=", ".join(how))


def unclear_line(cell: str) -> str:
    """Say what is unclear about a cell, and what makes it clear."""
    return (f"expected numbers that can be read in one way, found {cell!r}, and nothing that says whether its mark "
            "stands before the fraction or between thousands; --decimal point or --decimal comma does")  # fmt: skip


def _decided(points: dict[int, float | None], commas: dict[int, float | None]) -> tuple[str, int | None]:
    """What stands before the fraction, and where the first cell is that leaves it open, if all do that differ."""
    only_point = sum(value is not None and commas[place] is None for place, value in points.items())
    only_comma = sum(value is not None and points[place] is None for place, value in commas.items())
    if only_point or only_comma:
        return (POINT if only_point >= only_comma else COMMA), None
    unlike = (place for place, value in points.items() if value is not None and value != commas[place])
    return POINT, next(unlike, None)


def _number(text: str) -> float | None:
    """The finite number that a text is, a point before its fraction."""
    if len(text) > 400:
        return None
    if not PLAIN.fullmatch(text):
        if not (match := GROUPED.fullmatch(text)):
            return None
        text = text.replace(match[1], "")
    value = float(text)
    return value if math.isfinite(value) else None
