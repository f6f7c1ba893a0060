"""One physical file with features: its structure and the tables that change while it is filled."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from amnet_common.errors import CollectionError
from amnet_common.files import file_identity, read_table
from amnet_common.layout import PENDING, Planes, Structure
from amnet_common.marks import damaged_rows
from amnet_common.spec import roster_sha256
from amnet_common.structure import read_structure


class Part:
    """The rows of one file, as `Collection` and the writer see them. Raises CollectionError for a damaged file."""

    def __init__(self, path: Path, structure: Structure | None = None) -> None:
        self.path, self.structure = path, structure or read_structure(path)
        if self.structure.planes is None:
            raise CollectionError(f"{path}: wanted a collection with features of its own, found a linked one; "
                                  "name the parts that it links")  # fmt: skip
        self.planes: Planes = self.structure.planes
        self.refresh()
        if roster_sha256(self.raw_ids()) != self.structure.roster:
            raise CollectionError(f"{path}: wanted ids of roster {self.structure.roster}, found others: "
                                  "/images is damaged")  # fmt: skip

    def refresh(self) -> None:
        """Read the marks again: another process may have filled rows since."""
        with self._present():
            self._refuse_other_file(os.stat(self.path))
        self.images = read_table(self.path, self.structure.images)  # (N,) of layout.image_dtype
        self.boxes = read_table(self.path, self.planes.views)  # (N, V, 5) float32: top, left, height, width, flip
        self.checksums = read_table(self.path, self.planes.checksums)  # (N, V) uint32
        self.damaged = damaged_rows(self.images, self.checksums, self.boxes)  # row numbers
        self.status = self.images["status"].copy()  # (N,) uint8; rows with a damaged mark count as pending
        self.status[self.damaged] = PENDING

    def open(self, flags: int = os.O_RDONLY) -> int:
        """A file descriptor of the very file whose structure is known here."""
        with self._present():
            descriptor = os.open(self.path, flags)
        try:
            self._refuse_other_file(os.fstat(descriptor))
        except CollectionError:
            os.close(descriptor)
            raise
        return descriptor

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise CollectionError(f"{self.path}: wanted the file that was opened, found it gone") from error

    def _refuse_other_file(self, found: os.stat_result) -> None:
        if file_identity(found) != self.structure.identity:
            raise CollectionError(f"{self.path}: wanted the file that was opened, found another of its name: it was "
                                  "replaced meanwhile; open it again")  # fmt: skip

    def raw_ids(self) -> list[bytes]:
        """The ids as they are stored."""
        return self.images["id"].tolist()
