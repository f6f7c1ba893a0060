"""Every image below a folder, without scores. Rows are sorted by path."""

import os
from pathlib import Path

from amnet_common.datasets.records import Dataset, check_ids
from amnet_common.errors import DatasetError

# HEIC stands here although plain Pillow cannot open it: a row marked failed is seen, a file passed over is not
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".j2k"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".avif", ".heic", ".heif"}
)


def read_folder(root: Path) -> Dataset:
    """Return the dataset of all files below `root` with an image's suffix, hidden files left out.

    Raises DatasetError if `root` is no folder, a folder below it cannot be read, or it holds no image.
    """
    if not os.path.isdir(root):
        raise DatasetError(f"--dataset folder: expected a folder {root}, found none; say where with --root")
    ids, seen = [], set()
    for folder, subfolders, names in os.walk(root, onerror=_refuse_unreadable, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if os.path.realpath(folder) in seen:  # a symbolic link back up, or a second way to the same folder
            subfolders.clear()
            continue
        seen.add(os.path.realpath(folder))
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"  # a string and no Path: a library has a million files
        ids += [prefix + name for name in names if is_image_name(name)]
    check_ids(ids, str(root))
    return Dataset("folder", root, tuple(sorted(ids)))


def _refuse_unreadable(error: OSError) -> None:
    raise DatasetError(f"--dataset folder: expected to read every folder, found {error.filename}: {error.strerror}")


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is taken for an image."""
    stem, _, suffix = name.rpartition(".")
    return bool(stem) and not name.startswith(".") and f".{suffix.lower()}" in SUFFIXES
