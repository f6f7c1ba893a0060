"""One physical file with features: its structure and the tables that change while it is filled."""

import os
from pathlib import Path

import numpy as np

from amnet_common.collection.id_reading import IdReading
from amnet_common.collection.layout import Planes, Structure
from amnet_common.collection.mirror import Mirror
from amnet_common.collection.part_file import PartFile
from amnet_common.collection.snapshot import read_snapshot
from amnet_common.collection.structure import read_structure
from amnet_common.errors import CollectionError


class Part:
    """Hold the rows of one file with features, as `Collection` sees them.

    Attributes: `path`, `structure`, `planes`; as they were when the marks were read: `images` (N,) Records, `status`
    (N,) uint8, `damaged` (row numbers), `checksums` (N, V) uint32, `boxes` (N, V, 5), which are read when asked for.
    `ids` takes up the ids while the marks are read.

    Raises CollectionError for a damaged file, and for a linked one, which has no features of its own.
    """

    def __init__(self, path: Path, structure: Structure | None = None, ids: IdReading | None = None) -> None:
        self.path, self.structure = path, structure or read_structure(path)
        if self.structure.planes is None:
            raise CollectionError(f"{path}: expected a collection with features of its own, found a linked one; "
                                  "name the parts that it links")  # fmt: skip
        self.planes: Planes = self.structure.planes
        self._file = PartFile(path, self.structure)
        self.mirror: Mirror | None = None  # of a part in an object store: what brings its views here
        ids = ids or IdReading()
        self._read(ids)
        if ids.sha256() != self.structure.image_list:
            raise CollectionError(f"{path}: expected ids of the image list {self.structure.image_list}, found others: "
                                  "/images is damaged")  # fmt: skip

    def refresh(self) -> None:
        """Read the marks again: another process may have filled rows since."""
        self._read(None)

    def _read(self, ids: IdReading | None) -> None:
        found = read_snapshot(self._file, self.planes, ids.take if ids else _ignored)
        self.images, self.status, self.damaged, self.checksums, self.boxes = found

    def open(self, flags: int = os.O_RDONLY) -> int:
        """Open the very file whose structure is known here, told apart by its integrity hash; return its descriptor.

        Raises CollectionError if the file is gone or replaced.
        """
        return self._file.open(flags)

    def raw_ids(self) -> list[bytes]:
        """Return the ids as the bytes that are stored; they are read each time."""
        return self._file.ids().tolist()


def _ignored(_: np.ndarray) -> None:
    pass
