"""Where the parts of a collection that follows a folder lie: `photos.h5.parts/0001.h5`, `0002.h5` and so on."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.collection.part import Part
from amnet_common.errors import CollectionError, OutputError

NAME = re.compile(r"(\d{4,9})\.h5")


def folder_of(out: Path) -> Path:
    """Return the folder of the parts of the collection `out`."""
    return out.with_name(f"{out.name}.parts")


def numbered(folder: Path) -> list[Path]:
    """Return the parts in a folder, in the order of their numbers; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def next_path(folder: Path) -> Path:
    """Return the path of the part that comes after those in a folder."""
    last = max((int(path.stem) for path in numbered(folder)), default=0)
    return folder / f"{last + 1:04d}.h5"


def all_parts(out: Path, base: Collection | None) -> list[Part]:
    """Return the parts of a collection, then those in its folder that it does not name, of its spec.

    The collection may have been removed, or a run killed before it named its part. What is no whole part is left out.
    """
    named = list(base.parts) if base else []
    known = {os.path.realpath(part.path) for part in named} | {part.structure.uuid for part in named}
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


def own_name(out: Path, base: Collection) -> Path:
    """Give the file of a collection with features of its own a second name among its parts, and return that.

    Raises OutputError where the file system has no hard links.
    """
    folder = folder_of(out)
    for path in numbered(folder):  # of a run that was killed
        if os.path.samefile(path, out):
            return path
    path = next_path(folder)
    try:
        os.link(out, path)
    except OSError as error:
        raise OutputError(f"--out {base.path}: expected to name it {path} as well, found: {error.strerror}; on such a "
                          "disk begin with --sync and another --out") from error  # fmt: skip
    return path


def sources_of(out: Path, parts: Sequence[Part], moved: Path | None = None) -> list[tuple[str, str]]:
    """Return path, relative to the folder of `out`, and uuid of each part; `moved`: the new name of `out` itself."""
    beside = os.path.realpath(out.parent)
    paths = [moved if moved and os.path.samefile(part.path, out) else part.path for part in parts]
    return [(os.path.relpath(os.path.realpath(path), beside), part.structure.uuid)
            for path, part in zip(paths, parts, strict=True)]  # fmt: skip
