"""One row of a table of scores: what is known of an image, scored or not. Columns, cells, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would compute
SCORED, FAILED, PENDING = "scored", "failed", "pending"


@dataclass(frozen=True)
class ScoreRow:
    """Hold what is known of an image. One without features has a status that says why, and no figures."""

    id: str
    status: str  # SCORED, FAILED or PENDING
    collection: str  # the file, as it was given
    score: float | None = None
    steps: tuple[float, ...] = ()
    spread: float | None = None  # over heads and views; None where there is one
    entropy: float | None = None
    reason: str = ""  # why the image failed
    features: str = ""  # CRC-32C of its views' checksums: whether a score is of the features that are there now
    split: str = ""  # train, val or test of the scoring heads, as a table of labels has it
    human: float | None = None  # what people said of it


LABELS = ("split", "human")  # the last columns of a table that tells what an image is to the heads


def columns(steps: int, labelled: bool = False) -> list[str]:
    """Name the columns of a table of heads with so many steps; `labelled`: with LABELS."""
    numbered = [f"step_{t + 1}" for t in range(steps)]
    return ["id", "score", *numbered, "spread", "entropy", "status", "reason", "features", "collection",
            *(LABELS if labelled else ())]  # fmt: skip


def as_record(row: ScoreRow, steps: int, labelled: bool = False) -> dict[str, Any]:
    """Return the cells of a row by column; None for a figure that is not there."""
    numbered = {f"step_{t + 1}": row.steps[t] if row.steps else None for t in range(steps)}
    rest = {name: getattr(row, name) for name in ("spread", "entropy", "status", "reason", "features", "collection")}
    labels = {name: getattr(row, name) for name in LABELS} if labelled else {}
    return {"id": row.id, "score": row.score, **numbered, **rest, **labels}


def from_record(record: Mapping[str, Any], steps: int) -> ScoreRow:
    """Build a row from a record, the inverse of `as_record`, figures being numbers or texts. Raises KeyError, TypeError
    and ValueError for another record.
    """
    score, spread, entropy = (_figure(record[name]) for name in ("score", "spread", "entropy"))
    numbered = [_figure(record[f"step_{t + 1}"]) for t in range(steps)]
    found = tuple(value for value in numbered if value is not None)
    texts = {name: str(record[name] or "") for name in ("id", "status", "collection", "reason", "features")}
    split, human = str(record.get("split") or ""), _figure(record.get("human"))
    return ScoreRow(score=score, steps=found, spread=spread, entropy=entropy, split=split, human=human, **texts)


def as_texts(record: Mapping[str, Any], exact: bool = False, safe: bool = False) -> Sequence[str]:
    """Return the cells of a record as texts, figures with the nine digits that tell every float32 apart.

    `exact`: bytes of names that are no UTF-8 are kept as they are; else they stand as \\xNN. `safe`: no text looks like
    a formula to a spreadsheet.
    """
    return [_cell(value, exact, safe) for value in record.values()]


def _cell(value: object, exact: bool, safe: bool) -> str:
    if not isinstance(value, str):
        return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
    text = value if exact else shown(value)
    return no_formula(text) if safe else text


def shown(text: str) -> str:
    """Return a text as UTF-8 can say it: bytes of a name that are none stand as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def no_formula(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    return f"'{text}" if text.startswith(FORMULA) else text


def figure(value: float) -> float | None:
    """Convert NaN to None; any other figure stays a float."""
    return None if math.isnan(value) else float(value)


def _figure(value: Any) -> float | None:  # noqa: ANN401 - a number, a text or nothing
    return None if value is None or value == "" else float(value)
