"""One row of a table of scores: what is known of an image, scored or not. Columns, cells, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def columns(steps: int) -> list[str]:
    """Name the columns of a table of heads with so many steps."""
    numbered = [f"step_{t + 1}" for t in range(steps)]
    return ["id", "score", *numbered, "spread", "entropy", "status", "reason", "features", "collection"]


def as_record(row: ScoreRow, steps: int) -> dict[str, Any]:
    """Return the cells of a row by column; None for a figure that is not there."""
    numbered = {f"step_{t + 1}": row.steps[t] if row.steps else None for t in range(steps)}
    rest = {name: getattr(row, name) for name in ("spread", "entropy", "status", "reason", "features", "collection")}
    return {"id": row.id, "score": row.score, **numbered, **rest}


def from_record(record: Mapping[str, Any], steps: int) -> ScoreRow:
    """Build a row from a record, the inverse of `as_record`, figures being numbers or texts. Raises KeyError, TypeError
    and ValueError for another record.
    """
    score, spread, entropy = (_figure(record[name]) for name in ("score", "spread", "entropy"))
    numbered = [_figure(record[f"step_{t + 1}"]) for t in range(steps)]
    found = tuple(value for value in numbered if value is not None)
    texts = {name: str(record[name] or "") for name in ("id", "status", "collection", "reason", "features")}
    return ScoreRow(score=score, steps=found, spread=spread, entropy=entropy, **texts)


def as_texts(record: Mapping[str, Any]) -> Sequence[str]:
    """Return the cells as text: figures with the nine digits that tell every float32 apart."""
    return ["" if v is None else f"{v:.9g}" if isinstance(v, float) else str(v) for v in record.values()]


def figure(value: float) -> float | None:
    """Convert NaN to None; any other figure stays a float."""
    return None if math.isnan(value) else float(value)


def _figure(value: Any) -> float | None:  # noqa: ANN401 - a number, a text or nothing
    return None if value is None or value == "" else float(value)
