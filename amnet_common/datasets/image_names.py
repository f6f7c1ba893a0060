"""The names that images have: the ids of a collection, or the files below a folder, listed when they are asked for."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from amnet_common.datasets.choosing import Choice
from amnet_common.datasets.folder import is_image_name, walk
from amnet_common.datasets.near_names import Index
from amnet_common.datasets.records import ODD_PART
from amnet_common.errors import DatasetError
from amnet_common.remote import is_remote, listed

MOST_FILES = 2_000_000  # below a folder; in more, no near names are looked for


class ImageNames(Protocol):
    """Tell which names images have."""

    where: str  # for messages, such as `below photos`

    def __contains__(self, name: object) -> bool: ...
    @property
    def names(self) -> Sequence[str]:
        """Return all of them."""
        ...

    @property
    def index(self) -> Index:
        """Return them by what near names have in common."""
        ...


class CollectionNames:
    """Hold the ids of a collection."""

    def __init__(self, ids: Sequence[str], where: str) -> None:
        self.names, self.where, self._known = ids, where, frozenset(ids)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    @cached_property
    def index(self) -> Index:
        """Return the ids by what near names have in common."""
        return Index(self.names)


class FileNames:
    """Look for files below a folder; each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self.root, self.where = root, f"below {root}"
        self._folders: dict[str, frozenset[str]] = {}

    def __contains__(self, name: object) -> bool:
        if ODD_PART.search(str(name)) or "\0" in str(name):
            return False
        if is_remote(self.root):
            return str(name) in listed(self.root)
        folder, _, last = str(name).rpartition("/")
        if last in self._listed(folder):
            return True
        return os.path.exists(self.root / str(name))  # a disk without case, or a folder that cannot be listed

    @cached_property
    def names(self) -> Sequence[str]:
        """Return the paths below the folder of all images there; none if it cannot be read, or there are too many."""
        found: list[str] = []
        try:
            for prefix, names in walk(self.root, Choice(), []):
                found += [prefix + name for name in names if is_image_name(name)]
                if len(found) > MOST_FILES:
                    return []
        except DatasetError:
            return []
        return found

    @cached_property
    def index(self) -> Index:
        """Return the names by what near names have in common."""
        return Index(self.names)

    def _listed(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            try:
                self._folders[folder] = frozenset(os.listdir(self.root / folder))
            except (OSError, ValueError):
                self._folders[folder] = frozenset()
        return self._folders[folder]
