"""The rows that the parts of a collection hold, whether the collection names them today or not."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.collection.part import Part
from amnet_common.datasets.records import encode_id


class Place(NamedTuple):
    """Say where a row is: number of the part, and row there."""

    part: int
    row: int


class KnownRows:
    """Find rows of parts by what their image files were.

    `base`: the collection as it is, of whose parts `parts` begins with all; None: there is none.
    """

    def __init__(self, parts: Sequence[Part], base: Collection | None) -> None:
        self.parts, self.base = parts, base
        self.row_of = {id_: row for row, id_ in enumerate(base.ids)} if base else {}
        self._where = base.where() if base else None
        self._starts = np.cumsum([0, *(len(part.images) for part in parts)])
        sizes = [np.where(part.status == DONE, part.images["size"], 0) for part in parts]  # 0: never looked for
        self._sizes = np.concatenate(sizes) if sizes else np.zeros(0, "<u8")
        self._by_size = np.argsort(self._sizes, kind="stable")
        self._listed = np.full(len(self._sizes), -1, np.int64)  # row of the collection that each is now
        if self._where:
            self._listed[self._starts[self._where.parts] + self._where.own] = np.arange(len(self._where.own))

    def listed(self, id_: str) -> Place | None:
        """Return where the row of an id is; None: the collection does not name it."""
        row = self.row_of.get(id_)
        if row is None or self._where is None:
            return None
        return Place(int(self._where.parts[row]), int(self._where.own[row]))

    def seen(self, id_: str) -> tuple[int, int] | None:
        """Return size and time of another file of this id that was found to have the content of its row, if any."""
        if self.base is None or self.base.held is None:
            return None
        held = self.base.held[self.row_of[id_]]
        return (int(held["size"]), int(held["mtime_ns"])) if held["size"] else None

    def status(self, place: Place) -> int:
        """Return the mark of a row."""
        return int(self.parts[place.part].status[place.row])

    def facts(self, place: Place) -> tuple[int, int]:
        """Return size and time of the image file that a row was made from."""
        images = self.parts[place.part].images
        return int(images["size"][place.row]), int(images["mtime_ns"][place.row])

    def sha256(self, place: Place) -> bytes:
        """Return the hash of the image file that a row was made from."""
        return self.parts[place.part].images["sha256"][place.row].tobytes()

    def has_id(self, place: Place, id_: str) -> bool:
        """Tell whether a row was made under this id, from which its augmented views are drawn."""
        return bool(self.parts[place.part].images["id"][place.row] == encode_id(id_))

    def name_now(self, place: Place) -> str | None:
        """Return the id under which the collection has a row today; None: under none."""
        row = int(self._listed[self._starts[place.part] + place.row])
        return self.base.ids[row] if self.base and row >= 0 else None

    def of_size(self, size: int) -> Iterator[Place]:
        """Yield the finished rows that were made from a file of so many bytes."""
        if size:
            first, last = (np.searchsorted(self._sizes, size, side, sorter=self._by_size) for side in ("left", "right"))
            for flat in self._by_size[first:last].tolist():
                part = int(np.searchsorted(self._starts, flat, "right")) - 1
                yield Place(part, flat - int(self._starts[part]))
