"""Names that look the same and are not: é is one character, or, as macOS spells it, an e with an accent behind it."""

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from amnet_common.datasets.records import Dataset


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def own_names(names: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Find for each of `names` that is not known the one known name that looks the same, if there is just one.

    No known name is given twice, nor one that is among `names` itself.
    """
    strangers = [name for name in {*names} - {*known} if not name.isascii()]
    if not strangers:
        return {}
    free = [name for name in {*known} - {*names} if not name.isascii()]
    looks, wanted = Counter(map(composed, free)), Counter(map(composed, strangers))
    own = {composed(name): name for name in free}
    alike = {name: composed(name) for name in strangers}
    return {name: own[look] for name, look in alike.items() if looks[look] == wanted[look] == 1}


def as_on_disk(dataset: Dataset) -> Dataset:
    """Give images whose file is spelt otherwise than their id the name of that file; a note says how many."""
    folders: dict[Path, dict[str, list[str]]] = {}
    found = {id_: _own_path(dataset.image_root, id_, folders) for id_ in dataset.ids if not id_.isascii()}
    times = Counter(found.values())
    unlike = {id_: own for id_, own in found.items() if own != id_ and times[own] == 1}
    if not unlike:
        return dataset
    note = f"{len(unlike)} images are spelt otherwise on the disk, in another form of Unicode; they go by those names"
    ids = tuple(unlike.get(id_, id_) for id_ in dataset.ids)
    return replace(dataset, ids=ids, notes=(*dataset.notes, note))


def _own_path(root: Path, id_: str, folders: dict[Path, dict[str, list[str]]]) -> str:
    """The path below `root` of the file that looks like `id_`; `id_` itself if it is there, or if there is not one."""
    found = root
    for part in id_.split("/"):
        if os.path.lexists(found / part):
            found /= part
            continue
        if found not in folders:
            folders[found] = _by_look(os.listdir(found) if found.is_dir() else [])
        alike = folders[found].get(composed(part), [])
        if len(alike) != 1:
            return id_
        found /= alike[0]
    return found.relative_to(root).as_posix()


def _by_look(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by their composed form."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(composed(name), []).append(name)
    return found
