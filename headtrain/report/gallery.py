"""Which test images a page shows large: the most and the least memorable by a head, and those it was most wrong about;
with what the head saw of each.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection import Collection
from headtrain.evaluation.predictions import Predictions
from headtrain.figures.attention_maps import entropy_of, is_alike, peak_of, scaled
from headtrain.heads.checkpoint import BEST, load_head
from headtrain.report.images import LARGE, Images
from headtrain.runs.results import RunResult
from headtrain.scoring.ensemble import BATCH
from headtrain.scoring.scores import refuse_missing_view, refuse_other_shape

MOST, LEAST, WORST = "most", "least", "worst"


def chosen(predictions: Predictions, count: int) -> dict[int, list[str]]:
    """Choose up to `count` images of each kind: their positions in the test list, with the kinds they are of (pure)."""
    count = min(count, max(1, len(predictions) // 3))  # the least of the most memorable is not below the middle
    order = np.argsort(predictions.predicted, kind="stable")
    wrong = np.argsort(-np.abs(predictions.predicted - predictions.scores), kind="stable")
    kinds = {MOST: order[::-1], LEAST: order, WORST: wrong}
    found: dict[int, list[str]] = {}
    for kind, positions in kinds.items():
        for position in positions[:count].tolist():
            found.setdefault(position, []).append(kind)
    return found


def cards(
    result: RunResult, collection: Collection, row_of: Mapping[str, int], images: Images, count: int
) -> list[dict[str, Any]]:
    """Make an entry for each chosen image of a run's test list."""
    predictions = result.predictions
    picked = chosen(predictions, count)
    rows = [row_of[predictions.ids[position]] for position in picked]
    seen = attention_of(result.run, collection, rows) if rows and (result.run / BEST).exists() else [{}] * len(rows)
    return [
        {
            "image": images.add(row, LARGE),
            "true": float(predictions.scores[position]),
            "predicted": float(predictions.predicted[position]),
            "split": result.split,
            "kinds": kinds,
            **looked,
        }
        for (position, kinds), row, looked in zip(picked.items(), rows, seen, strict=True)
    ]


def attention_of(run: Path, collection: Collection, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return for each row: step scores; of each step its map (L,) uint8 in base64, its peak (times chance), entropy and
    whether it looks everywhere alike; rows and columns of the maps; and the view's box as shares of the image.

    Raises ConfigError if the collection has not the view that the head was tested on, SpecError for other features.
    """
    head = load_head(run)
    view = head.provenance.config.training.eval_view if head.provenance else 0
    refuse_other_shape(head, collection)
    refuse_missing_view(view, collection)
    found: list[dict[str, Any]] = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        output = head.predict(collection.read_dequantised(some, view, check=True))
        for row, steps, attention in zip(some, output.steps.tolist(), output.attention.numpy(), strict=True):
            maps = [base64.b64encode(scaled(of_step).tobytes()).decode("ascii") for of_step in attention]
            told = {
                "peaks": [peak_of(of_step) for of_step in attention],
                "entropies": [entropy_of(of_step) for of_step in attention],
                "alike": [is_alike(of_step) for of_step in attention],
            }
            found.append({"steps": steps, "maps": maps, **told, "grid": [*collection.view_shape[:2]],
                          "box": box_of(collection, row, view)})  # fmt: skip
    return found


def box_of(collection: Collection, row: int, view: int) -> list[float]:
    """Return top, left, height and width of a view as shares of its image, and flip 0 or 1."""
    top, left, height, width, flip = collection.boxes[row, view].astype(float).tolist()
    H, W = max(1, int(collection.images["height"][row])), max(1, int(collection.images["width"][row]))
    return [top / H, left / W, height / H, width / W, flip]
