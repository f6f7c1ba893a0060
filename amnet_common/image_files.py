"""What a disk or an object store says of an image file, before anyone reads it."""

import os

from amnet_common.remote import exists_now, facts_at, is_remote


def file_facts(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return size in bytes and time in nanoseconds since 1970 of a file; None if nobody can say."""
    if is_remote(path):
        return facts_at(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def is_readable(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a regular file that may be read."""
    if is_remote(path):
        return facts_at(path) is not None
    return os.path.isfile(path) and os.access(path, os.R_OK)


def is_there(path: str | os.PathLike[str], now: bool = False) -> bool:
    """Tell whether there is anything at a path; say False for names that no system takes.

    `now`: of a store, by asking it, not as it was listed.
    """
    if is_remote(path):
        return exists_now(path) if now else facts_at(path) is not None
    return os.path.exists(path)
