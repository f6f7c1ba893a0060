"""Where the parts of a collection that follows a folder lie: `photos.h5.parts/0001.h5`, `0002.h5` and so on.

For an object store, which several machines may write, a part has a mark of its own as well: `0002-5fe3a0c1.h5`.
"""

import contextlib
import os
import re
from pathlib import Path

from amnet_common.collection.part import Part
from amnet_common.collection.reader import Collection
from amnet_common.errors import CollectionError

COPIED = "compacted_parts"  # in the provenance: uuids of parts whose rows the file has itself now
REPLACED = "removed_from"  # in the provenance: uuid of the file that this one has the rows of, but for some
NAME = re.compile(r"(\d{4,9})(?:-[0-9a-f]{8})?\.h5")


def folder_of(out: Path) -> Path:
    """Return the folder of the parts of the collection `out`."""
    return out.with_name(f"{out.name}.parts")


def numbered(folder: Path) -> list[Path]:
    """Return the parts in a folder, in the order of their numbers; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(filter(_number, folder.iterdir()), key=lambda path: (_number(path), path.name))


def next_path(folder: Path, mark: str = "") -> Path:
    """Return the path of the part that comes after those in a folder; `mark`: eight hexadecimal digits, or nothing."""
    last = max(map(_number, numbered(folder)), default=0)
    return folder / f"{last + 1:04d}{mark and '-'}{mark}.h5"


def _number(path: Path) -> int:
    """The number of a part; 0: it is none."""
    found = NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def all_parts(out: Path, base: Collection | None) -> list[Part]:
    """Return the parts of a collection, then those in its folder that it does not name, of its spec.

    The collection may have been removed, or a run killed before it named its part. What is no whole part is left out.
    """
    named = list(base.parts) if base else []
    known = {os.path.realpath(part.path) for part in named} | {part.structure.uuid for part in named}
    known |= superseded(base)
    for path in numbered(folder_of(out)):
        if os.path.realpath(path) in known:
            continue
        try:
            part = Part(path)
        except CollectionError:
            continue
        spec = named[0].structure.spec if named else part.structure.spec
        if part.structure.spec == spec and part.structure.uuid not in known:
            named.append(part)
    return named


def superseded(base: Collection | None) -> set[str]:
    """Return the uuids of files that a collection or its parts have the rows of; they may still lie there after a kill.

    What they hold beside these rows was to be dropped.
    """
    if base is None:
        return set()
    found: list[object] = []
    for said in (base.provenance, *(part.structure.provenance for part in base.parts)):
        copied = said.get(COPIED)
        found += [said.get(REPLACED), *(copied if isinstance(copied, list) else ())]
    return {one for one in found if isinstance(one, str)} - {part.structure.uuid for part in base.parts}


def remove_superseded(path: Path, collection: Collection) -> None:
    """Remove the parts in the folder of a collection whose rows are elsewhere now, and the folder if it is empty."""
    gone, folder = superseded(collection), folder_of(path)
    for part in numbered(folder) if gone else ():
        with contextlib.suppress(CollectionError, OSError):
            if Part(part).structure.uuid in gone:
                part.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
