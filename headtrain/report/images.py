"""The small pictures of a page, each once, until their budget is spent; the page stays a page that a mail can carry."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from amnet_common.collection import Collection
from headtrain.figures.looks import open_picture

BUDGET = 12_000_000  # bytes of the page for pictures; what comes after that stands without
LARGE, SMALL = 256, 88  # pixels of the longer side: in the gallery, beside a point of the scatter plot
QUALITY = 78  # of JPEG
SPENT = "left out: the page would be too large"


@dataclass
class Images:
    """Collect pictures by row of a collection. `table` is what the page gets: an entry for each image asked for."""

    collection: Collection
    root: Path | None = None  # where the image files are, if not where they were
    budget: int = BUDGET
    table: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0  # asked for, and no picture to be had
    _number: dict[int, int] = field(default_factory=dict)  # of a row, in the table

    def add(self, row: int, side: int) -> int:
        """Return the number of a row's image in the table. Ask for large ones first: an image stands there once."""
        if row not in self._number:
            self._number[row] = len(self.table)
            self.table.append(self._entry(row, side))
        return self._number[row]

    def _entry(self, row: int, side: int) -> dict[str, Any]:
        source, missing = self._source(row, side)
        self.missing += bool(missing)
        id_ = self.collection.ids[row].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        width, height = (int(self.collection.images[name][row]) for name in ("width", "height"))
        return {"id": id_, "src": source, "missing": missing, "width": width, "height": height}

    def _source(self, row: int, side: int) -> tuple[str | None, str]:
        if self.budget <= 0:
            return None, SPENT
        picture, missing = open_picture(self.collection, row, self.root)
        if picture is None:
            return None, missing
        source = data_url(picture, side)
        self.budget -= len(source)
        return source, ""


def data_url(picture: Image.Image, side: int) -> str:
    """Encode a picture as a data URL: a JPEG of at most `side` pixels in either direction, as text."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
