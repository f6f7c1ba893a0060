"""The parts of a collection as its link names them, and the second name of a file that becomes one of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.collection.joining import relative_path
from amnet_common.collection.part import Part
from amnet_common.collection.parts_folder import folder_of, next_path, numbered
from amnet_common.errors import OutputError


def own_name(out: Path, base: Collection, mark: str = "") -> Path:
    """Give the file of a collection with features of its own a second name among its parts, and return that.

    `mark`: in the name, as in `next_path`.

    Raises OutputError where the file system has no hard links.
    """
    folder = folder_of(out)
    for path in numbered(folder):  # of a run that was killed
        if os.path.samefile(path, out):
            return path
    path = next_path(folder, mark)
    try:
        os.link(out, path)
    except OSError as error:
        raise OutputError(f"--out {base.path}: expected to name it {path} as well, found: {error.strerror}; on such a "
                          "disk begin with --sync and another --out") from error  # fmt: skip
    return path


def sources_of(out: Path, parts: Sequence[Part], moved: Path | None = None) -> list[tuple[str, str]]:
    """Return path, relative to the folder of `out`, and uuid of each part; `moved`: the new name of `out` itself."""
    paths = [moved if moved and os.path.samefile(part.path, out) else part.path for part in parts]
    return [(relative_path(path, out), part.structure.uuid) for path, part in zip(paths, parts, strict=True)]
