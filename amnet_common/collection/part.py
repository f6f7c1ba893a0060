"""One physical file with features: its structure and the tables that change while it is filled."""

import os
from pathlib import Path

from amnet_common.collection.layout import PENDING, Planes, Structure
from amnet_common.collection.marks import damaged_rows
from amnet_common.collection.raw import read_table_from
from amnet_common.collection.spec import image_list_sha256
from amnet_common.collection.structure import read_structure
from amnet_common.errors import CollectionError


class Part:
    """Hold the rows of one file with features, as `Collection` and the writer see them.

    Raises CollectionError for a damaged file, and for a linked one, which has no features of its own.
    """

    def __init__(self, path: Path, structure: Structure | None = None) -> None:
        self.path, self.structure = path, structure or read_structure(path)
        if self.structure.planes is None:
            raise CollectionError(f"{path}: expected a collection with features of its own, found a linked one; "
                                  "name the parts that it links")  # fmt: skip
        self.planes: Planes = self.structure.planes
        self.refresh()
        if image_list_sha256(self.raw_ids()) != self.structure.image_list:
            raise CollectionError(f"{path}: expected ids of the image list {self.structure.image_list}, found others: "
                                  "/images is damaged")  # fmt: skip

    def refresh(self) -> None:
        """Read the marks again: another process may have filled rows since."""
        file = self.open()
        try:
            self.images = read_table_from(file, self.structure.images, self.path)  # (N,) of layout.image_dtype
            self.boxes = read_table_from(
                file, self.planes.views, self.path
            )  # (N, V, 5): top, left, height, width, flip
            self.checksums = read_table_from(file, self.planes.checksums, self.path)  # (N, V) uint32
        finally:
            os.close(file)
        self.damaged = damaged_rows(self.images, self.checksums, self.boxes)  # row numbers
        self.status = self.images["status"].copy()  # (N,) uint8; rows with a damaged mark count as pending
        self.status[self.damaged] = PENDING

    def open(self, flags: int = os.O_RDONLY) -> int:
        """Open the very file whose structure is known here, told apart by its integrity hash; return its descriptor.

        Raises CollectionError if the file is gone or replaced.
        """
        try:
            file = os.open(self.path, flags)
        except FileNotFoundError as error:
            raise CollectionError(f"{self.path}: expected the file that was opened, found it gone") from error
        integrity = self.structure.integrity
        if os.pread(file, integrity.end - integrity.offset, integrity.offset) == self.structure.stored_integrity:
            return file
        os.close(file)
        raise CollectionError(f"{self.path}: expected the file that was opened, found another of its name: it was "
                              "replaced meanwhile; open it again")  # fmt: skip

    def raw_ids(self) -> list[bytes]:
        """Return the ids as the bytes that are stored."""
        return self.images["id"].tolist()
