"""What a run or a baseline predicted for its test images, as a CSV file that loses no digit."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.errors import RunError
from amnet_common.files import whole_file
from amnet_common.small_texts import shortened

HEADER = ["id", "score", "predicted"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Hold predicted and human scores of n images. Raises RunError if the lengths differ."""

    ids: tuple[str, ...]
    predicted: np.ndarray  # (n,) float64, on the data's scale
    scores: np.ndarray  # (n,) float64

    def __post_init__(self) -> None:
        wanted, found = (len(self.ids),), (np.shape(self.predicted), np.shape(self.scores))
        if found != (wanted, wanted):
            raise RunError(
                f"predictions: expected {wanted[0]} predicted and human scores, found {found[0]}, {found[1]}"
            )
        for name in ("predicted", "scores"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    def __len__(self) -> int:
        return len(self.ids)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a CSV file `id,score,predicted`, whole or not at all. Raises OutputError if it cannot be written."""
    lines = zip(predictions.ids, predictions.scores.tolist(), predictions.predicted.tolist(), strict=True)
    with (
        whole_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([id_, repr(score), repr(predicted)] for id_, score, predicted in lines)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote, bit for bit.

    Raises RunError, with the line, for a file that is missing, empty or not of this form, or a number not finite.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            lines = list(_lines(path, file))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    if not lines:
        raise RunError(f"{path}:2: expected at least one image, found none")
    ids, scores, predicted = zip(*lines, strict=True)
    return Predictions(ids, np.array(predicted), np.array(scores))


def _lines(path: Path, file: Iterator[str]) -> Iterator[tuple[str, float, float]]:
    """Id, score and prediction of each line below the header."""
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if header != HEADER:
            raise RunError(f"{path}:1: expected {','.join(HEADER)}, found {shortened(','.join(header))}")
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(HEADER):
                raise RunError(f"{where}: expected {len(HEADER)} cells, found {len(cells)}")
            yield cells[0], _finite(where, "score", cells[1]), _finite(where, "predicted", cells[2])
    except csv.Error as error:
        raise RunError(f"{path}:{reader.line_num}: expected lines of CSV, found: {error}") from error


def _finite(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RunError(f"{where}: expected a finite number as {name}, found {shortened(text)}")
    return value
