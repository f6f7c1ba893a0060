"""Some rows of a table of scores: which of them are scored, which are taken over, and why others have no score."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import crc32c
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.collection.layout import FAILED as FAILED_MARK
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.heads.head import Head
from headtrain.scoring.ensemble import Said, predict_together
from headtrain.scoring.rows import FAILED, PENDING, SCORED, ScoreRow, figure

FEW = 10  # scores, whose spread says nothing


@dataclass
class Counts:
    """Count what came of the images of a table."""

    scored: int = 0  # now
    resumed: int = 0  # rows of an earlier call that was stopped
    kept: int = 0  # of the older table
    missing: int = 0  # images without features
    gone: int = 0  # rows of the older table whose images are not there any more
    total: float = 0.0  # of the scores that were made now
    squares: float = 0.0  # likewise

    @property
    def spread(self) -> float:
        """Return the standard deviation of the scores that were made now; NaN for fewer than FEW."""
        if self.scored < FEW:
            return math.nan
        return math.sqrt(max(0.0, self.squares / self.scored - (self.total / self.scored) ** 2))

    def add(self, table: Sequence[ScoreRow], old: Sequence[ScoreRow | None]) -> None:
        """Count rows of the new table beside those of the older one."""
        kept = sum(row is before for row, before in zip(table, old, strict=True))
        missing = sum(row.status != SCORED for row in table)
        self.scored += len(table) - kept - missing
        fresh = (row for row, before in zip(table, old, strict=True) if row is not before)
        made = [row.score for row in fresh if row.score is not None]
        self.total += sum(made)
        self.squares += sum(score * score for score in made)
        self.kept += kept
        self.missing += missing


def score_block(
    heads: Sequence[Head], collection: Collection, rows: np.ndarray, views: Sequence[int], kernels: Kernels = EAGER,
    old: Sequence[ScoreRow | None] = (),
) -> list[ScoreRow]:  # fmt: skip
    """Return a row for each of `rows`, in their order. One of `old`, if given as many, is taken over if its features
    are still the same. Raises CollectionError for damaged features.
    """
    begun = begun_block(collection, rows, old)
    said = predict_together(heads, collection, begun.fresh, views, kernels) if len(begun.fresh) else None
    return begun.ended(said)


@dataclass(frozen=True)
class BegunBlock:
    """Hold `rows` (n,) of a collection, of which those that are `fresh` (m,) have features and no score yet."""

    collection: Collection
    rows: np.ndarray
    kept: list[ScoreRow | None]  # n, taken over
    places: np.ndarray  # (m,) of the fresh ones among n
    features: list[str]  # n checksums

    @property
    def fresh(self) -> np.ndarray:
        """Return the rows (m,) that are to be scored."""
        return self.rows[self.places]

    def ended(self, said: Said | None) -> list[ScoreRow]:
        """Return a row for each of `rows`, with what the heads say of the fresh ones; None: there are none."""
        table = list(self.kept)
        for i, score, steps, spread, entropy in zip(self.places.tolist(), *said, strict=True) if said else ():
            table[i] = ScoreRow(
                self.collection.ids[self.rows[i]], SCORED, str(self.collection.path), figure(score),
                tuple(map(float, steps)), figure(spread), float(entropy), features=self.features[i],
            )  # fmt: skip
        return [row or _without(self.collection, int(self.rows[i])) for i, row in enumerate(table)]


def begun_block(collection: Collection, rows: np.ndarray, old: Sequence[ScoreRow | None] = ()) -> BegunBlock:
    """Tell which of `rows` are to be scored: those with features, but one of `old` whose features are still the same is
    taken over.
    """
    crcs = [f"{crc32c.crc32c(collection.checksums[row].tobytes()):08x}" for row in rows]
    done = collection.status[rows] == DONE  # (n,)
    kept = [
        before if before and before.status == SCORED and done[i] and before.features == crcs[i] else None
        for i, before in enumerate(old or [None] * len(rows))
    ]
    return BegunBlock(collection, rows, kept, np.flatnonzero(done & np.array([row is None for row in kept])), crcs)


def _without(collection: Collection, row: int) -> ScoreRow:
    status = FAILED if collection.status[row] == FAILED_MARK else PENDING
    return ScoreRow(collection.ids[row], status, str(collection.path), reason=collection.error(row))
