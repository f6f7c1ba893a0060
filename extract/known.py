"""`--except OLD.h5`: which images OLD does not hold, by content, so that a growing library is extracted once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.datasets import Dataset
from amnet_common.image_files import file_facts
from amnet_common.remote import is_remote, url_of
from extract.changes import file_sha256


@dataclass(frozen=True)
class NewImages:
    """Hold what is left of a dataset."""

    keep: np.ndarray  # (N,) bool: images that are in none of the old collections
    clashes: tuple[str, ...]  # ids that an old collection has with other content


@dataclass
class Known:
    """Hold the finished images of old collections."""

    by_id: dict[str, set[bytes]] = field(default_factory=dict)  # SHA-256 of the files of that id
    hashes: set[bytes] = field(default_factory=set)
    sizes: set[int] = field(default_factory=set)  # bytes
    facts: dict[str, tuple[int, int]] = field(default_factory=dict)  # size and mtime of files below the same image root

    def add(self, collection: Collection, root: str) -> None:
        """Add every finished image of a collection; `root`: the image root of the new dataset."""
        same_root = all(part.structure.provenance.get("image_root") == root for part in collection.parts)
        for row in np.flatnonzero(collection.status == DONE).tolist():
            images, id_ = collection.images, collection.ids[row]
            size, content = int(images["size"][row]), images["sha256"][row].tobytes()
            self.by_id.setdefault(id_, set()).add(content)
            self.hashes.add(content)
            self.sizes.add(size)
            if same_root:
                self.facts[id_] = size, int(images["mtime_ns"][row])

    def look(self, id_: str, path: Path) -> tuple[bool, bool]:
        """Tell whether an image is new, and whether it clashes: its id is known with other content."""
        found = file_facts(path)
        if found is None:
            return id_ not in self.by_id, False
        if self.facts.get(id_) == found:
            return False, False
        if found[0] not in self.sizes:
            return True, id_ in self.by_id
        content = file_sha256(path)
        if not content:
            return id_ not in self.by_id, False
        return content not in self.hashes, content not in self.by_id.get(id_, {content})


def find_new_images(dataset: Dataset, old: Sequence[Collection]) -> NewImages:
    """Compare image files with the finished rows of `old`.

    A file of the same image root, id, size and time is taken for the same; else its hash decides, and it is only
    computed if some old file has the same size. A file that cannot be read is known if its id is; else it counts as
    new, so that it becomes a failed row.
    """
    known, root = Known(), resolved_root(dataset)
    for collection in old:
        known.add(collection, root)
    found = [known.look(id_, dataset.image_root / id_) for id_ in dataset.ids]
    clashes = (id_ for id_, (_, clash) in zip(dataset.ids, found, strict=True) if clash)
    return NewImages(np.array([new for new, _ in found], bool), tuple(clashes))


def resolved_root(dataset: Dataset) -> str:
    """Return the image root as a collection remembers it: absolute, symbolic links followed, as UTF-8 can say it; of an
    object store its address.
    """
    if is_remote(dataset.image_root):
        return url_of(dataset.image_root)
    return str(dataset.image_root.resolve()).encode("utf-8", "backslashreplace").decode()
