"""Every image below a folder, without scores. Rows are sorted by path."""

import os
from collections.abc import Iterator
from pathlib import Path

from amnet_common.datasets.records import MAX_ID_BYTES, Dataset, encode_id
from amnet_common.errors import DatasetError

# HEIC stands here although plain Pillow cannot open it: a row marked failed is seen, a file passed over is not
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".j2k"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".avif", ".heic", ".heif"}
)


def read_folder(root: Path) -> Dataset:
    """Return the dataset of all files below `root` with an image's suffix, hidden files left out.

    A folder below it that cannot be read, or a path too long for an id, is a note of the dataset. Raises DatasetError
    if `root` is no folder or cannot be read, or it holds no image.
    """
    if not os.path.isdir(root):
        raise DatasetError(f"--dataset folder: expected a folder {root}, found none; say where with --root")
    ids: list[str] = []
    notes: list[str] = []
    for prefix, names in walk(root, notes):
        ids += [prefix + name for name in names if is_image_name(name)]
    short = [id_ for id_ in ids if len(id_) <= MAX_ID_BYTES // 4 or len(encode_id(id_)) <= MAX_ID_BYTES]
    if len(short) < len(ids):
        longest = max(ids, key=len)
        notes.append(f"{len(ids) - len(short)} images left out: paths of more than {MAX_ID_BYTES} bytes below {root}, "
                     f"such as {longest[:40]}...{longest[-40:]}")  # fmt: skip
    return Dataset("folder", root, tuple(sorted(short)), notes=tuple(notes))


def walk(root: Path, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder from `root` down, by its path below it with a slash at the end, and the names of its files.

    Folders behind symbolic links are read too, each once; hidden ones are not. Without recursion: folders may be nested
    deeper than Python's stack. One that cannot be read is added to `notes`. Raises DatasetError if it is `root`.
    """
    waiting, seen = [""], set()
    while waiting:
        prefix = waiting.pop()
        try:
            info = os.stat(f"{root}/{prefix}")
            if (info.st_dev, info.st_ino) in seen:  # a symbolic link back up, or a second way to the same folder
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(f"{root}/{prefix}") as entries:
                folders, files = _sorted_out(entries)
        except OSError as error:
            if not prefix:
                raise DatasetError(f"--dataset folder: expected to read {root}, found: {error.strerror}") from error
            notes.append(f"left out, cannot be read: {root}/{prefix[:-1]}: {error.strerror}")
            continue
        waiting += [f"{prefix}{name}/" for name in sorted(folders, reverse=True) if not name.startswith(".")]
        yield prefix, files


def _sorted_out(entries: Iterator["os.DirEntry[str]"]) -> tuple[list[str], list[str]]:
    """Names of folders, and of all else."""
    folders: list[str] = []
    files: list[str] = []
    for entry in entries:
        (folders if _is_folder(entry) else files).append(entry.name)
    return folders, files


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself, say
        return False


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is taken for an image."""
    stem, _, suffix = name.rpartition(".")
    return bool(stem) and not name.startswith(".") and f".{suffix.lower()}" in SUFFIXES
