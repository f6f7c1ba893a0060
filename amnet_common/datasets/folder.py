"""Every image below a folder, without scores. Rows are sorted by path."""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from amnet_common.datasets.choosing import Choice
from amnet_common.datasets.records import MAX_ID_BYTES, Dataset, encode_id
from amnet_common.errors import DatasetError
from amnet_common.remote import is_remote, listed

# HEIC stands here although plain Pillow cannot open it: a row marked failed is seen, a file passed over is not
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".j2k"}
    | {".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".avif", ".heic", ".heif", ".hif"}
)
MOST_KINDS = 12  # of suffixes named in the note on files that are left aside


def read_folder(root: Path, choice: Choice = Choice()) -> Dataset:  # noqa: B008 (frozen)
    """Return the dataset of all files below `root` with an image's suffix that `choice` takes, hidden files left out.

    Notes of the dataset: folders that cannot be read or are left out by themselves, paths too long for an id, and how
    many files of which other suffixes there are. Raises DatasetError if `root` is no folder or cannot be read, or it
    holds no image.
    """
    if not is_remote(root) and not os.path.isdir(root):
        raise DatasetError(f"--dataset folder: expected a folder {root}, found none; say where with --root")
    ids: list[str] = []
    notes: list[str] = []
    others: Counter[str] = Counter()
    for prefix, names in walk(root, choice, notes):
        for name in names:
            if is_image_name(name):
                ids.append(prefix + name)
            elif not name.startswith("."):
                others[os.path.splitext(name)[1].lower()] += 1
    ids = [id_ for id_ in ids if choice.takes(id_)] if choice.exclude or choice.include else ids
    short = [id_ for id_ in ids if len(id_) <= MAX_ID_BYTES // 4 or len(encode_id(id_)) <= MAX_ID_BYTES]
    if len(short) < len(ids):
        longest = max(ids, key=len)
        notes.append(f"{len(ids) - len(short)} images left out: paths of more than {MAX_ID_BYTES} bytes below {root}, "
                     f"such as {longest[:40]}...{longest[-40:]}")  # fmt: skip
    if others:
        notes.append(left_aside(others))
    if not short:
        raise DatasetError("; ".join([f"--dataset folder: expected at least one image, found none for {root}", *notes]))
    return Dataset("folder", root, tuple(sorted(short)), notes=tuple(notes))


def left_aside(others: Counter[str]) -> str:
    """Tell how many files of which suffixes are not taken for images."""
    by_count = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in by_count[:MOST_KINDS]]
    more = sum(count for _, count in by_count[MOST_KINDS:])
    kinds += [f"{more} others"] if more else []
    return f"left aside, no image's suffix: {', '.join(kinds)}"


def walk(root: Path, choice: Choice, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder from `root` down, by its path below it with a slash at the end, and the names of its files.

    Folders behind symbolic links are read too, each once; hidden ones are not. Without recursion: folders may be nested
    deeper than Python's stack. What cannot be read, or is left out by itself, is added to `notes`. Raises DatasetError
    if `root` cannot be read. Of an object store the folders are what slashes make of its paths.
    """
    if is_remote(root):
        yield from _walk_store(root, choice, notes)
        return
    root_name = os.path.basename(os.path.abspath(root))
    waiting, seen, left_out = [""], set(), list[str]()
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
        below = [f"{prefix}{name}" for name in sorted(folders, reverse=True) if not name.startswith(".")]
        left_out += [folder for folder in below if choice.leaves_out(folder, root_name)]
        waiting += [f"{folder}/" for folder in below if choice.enters(folder, root_name)]
        yield prefix, files
    if left_out:
        notes.append(left_out_note(left_out))


def _walk_store(root: Path, choice: Choice, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    root_name, inside = os.path.basename(root), dict[str, list[str]]()
    left_out = set[str]()
    for path in sorted(listed(root)):
        folder, _, name = path.rpartition("/")
        parts = folder.split("/") if folder else []
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if any(part.startswith(".") for part in parts):
            continue
        left_out |= {one for one in above if choice.leaves_out(one, root_name)}
        if all(choice.enters(one, root_name) for one in above):
            inside.setdefault(f"{folder}/" if folder else "", []).append(name)
    yield from inside.items()
    if left_out:
        notes.append(left_out_note(left_out))


def left_out_note(folders: Collection[str]) -> str:
    """Tell how many folders are left out by themselves, with an example."""
    return (f"left out, {len(folders)} folders of thumbnails, previews or bins, such as {min(folders)}; --include NAME "
            "takes them")  # fmt: skip


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
