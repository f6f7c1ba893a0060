"""What a head saw of an image: the picture, the view, the attention of each step, what each step added to the score."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.errors import ImageError
from amnet_common.files import whole_file
from amnet_common.images import decode_rgb, ignored_pillow_warnings, read_source
from headtrain.heads.head import Head
from headtrain.scoring.scores import refuse_missing_view, refuse_other_shape

MOST_PIXELS = 640  # of the longer side of a picture that is drawn


@dataclass(frozen=True, eq=False)
class Look:
    """Hold one image with one view, and what a head saw of it. Letters: T steps, L locations, D channels."""

    id: str
    picture: Image.Image | None  # RGB, at most MOST_PIXELS; None: `missing` says why
    missing: str
    width: int  # pixels of the picture, or of what stands for it
    height: int
    box: np.ndarray  # (5,) float64, of the view in these pixels
    label: float  # NaN: none
    score: float
    steps: np.ndarray  # (T,) float32; they add up to the score
    attention: np.ndarray  # (T, L) float32, as the view has it
    grid: tuple[int, int] | None = None  # rows and columns of the L locations; None: a square of them


def looks_of(
    collection: Collection, head: Head, rows: Sequence[int], view: int = 0, images: Path | None = None
) -> list[Look]:
    """Compute what the head sees of each of `rows` in one view. `images`: the folder of the image files, if they moved.

    Raises SpecError for features of another shape, ConfigError for a view that the collection has not, MissingRowsError
    for images without features, CollectionError for damaged ones. An image file that is not there, or cannot be read,
    is none of these: the look then has no picture.
    """
    refuse_other_shape(head, collection)
    refuse_missing_view(view, collection)
    output = head.predict(collection.read_dequantised(rows, view, check=True))
    return [
        _look(collection, row, view, images, float(score), steps, attention)
        for row, score, steps, attention in zip(rows, *(part.numpy() for part in output), strict=True)
    ]


def save_maps(path: Path, looks: Sequence[Look]) -> None:
    """Write each step's weights as the view has them, (n, T, h, w) float32, as a .npy file. Raises OutputError."""
    maps = np.stack([look.attention for look in looks])  # (n, T, L)
    side = math.isqrt(maps.shape[-1])
    grid = looks[0].grid or (side, side)
    with whole_file(path, "--maps") as temporary, open(temporary, "wb") as file:
        np.save(file, maps.reshape(*maps.shape[:2], *grid))


def _look(
    collection: Collection, row: int, view: int, images: Path | None, score: float, steps: np.ndarray,
    attention: np.ndarray,
) -> Look:  # fmt: skip
    picture, missing = open_picture(collection, row, images)
    size = (int(collection.images["width"][row]), int(collection.images["height"][row]))
    scale = min(1.0, MOST_PIXELS / max(*size, 1))
    width, height = (max(1, round(side * scale)) for side in size)
    box = collection.boxes[row, view].astype(np.float64) * (scale, scale, scale, scale, 1)
    return Look(
        collection.ids[row], picture.resize((width, height), Image.Resampling.BILINEAR) if picture else None, missing,
        width, height, box, float(collection.labels[row]), score, steps, attention, grid_of(collection),
    )  # fmt: skip


def grid_of(collection: Collection) -> tuple[int, int]:
    """Return rows and columns of the locations of a collection's views."""
    rows, columns, _ = collection.view_shape
    return rows, columns


def open_picture(collection: Collection, row: int, images: Path | None) -> tuple[Image.Image | None, str]:
    """Open the image of a row as RGB, upright; or say why there is none. A file that has changed since is none."""
    try:
        source = read_source(collection.image_path(row, images))
        if source.sha256 != collection.images["sha256"][row].tobytes():
            return None, "another file than the one that the features are of"
        with ignored_pillow_warnings():
            return decode_rgb(source.data), ""
    except ImageError as error:
        return None, str(error)
