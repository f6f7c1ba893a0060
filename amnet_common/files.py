"""Files that get their names when they are whole, or not at all: how amnet writes everything that appears at once.

What is written meanwhile has a random name beside the final one, made so that no link planted there is followed; it is
on the disk before it gets its name, and the name before the call returns. JSON written here has null for NaN and
infinity, which strict readers refuse.
"""

import contextlib
import ctypes
import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amnet_common.errors import OutputError

LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp", re.DOTALL)  # what temporary_name gives
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # exFAT, SMB, many FUSE
AT_FDCWD, RENAME_NOREPLACE = -100, 1  # of Linux
EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def whole_file(path: Path, option: str = "", durable: bool = True) -> Iterator[Path]:
    """Yield where to write a file meanwhile, and give it its name `path` at the end, replacing an older one.

    After an error nothing of it is left, and an older file stays as it was. `durable`: it survives a power cut as well,
    which takes the time that the disk takes. Raises OutputError, which begins with the
    option that named the file.
    """
    try:
        with temporary_beside(path) as temporary:
            mode = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            temporary.chmod(mode)  # as the umask has it: some libraries write files that only their owner may read
            if durable:
                replace_by(temporary, path)
            else:
                os.replace(temporary, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{option} {path}: cannot be written: {error.strerror or error}".lstrip()) from error


@contextmanager
def whole_folder(path: Path, option: str = "") -> Iterator[Path]:
    """Yield a new folder to fill meanwhile, and give it its name `path` at the end, which an empty folder may have.

    After an error nothing of it is left. The folders above are made. Raises OutputError, which begins with the option
    that named the folder.
    """
    temporary = path.with_name(temporary_name(path))
    try:
        temporary.mkdir(parents=True)
        yield temporary
        sync_path(temporary)
        os.rename(temporary, path)  # fails where the name is taken by a folder that holds something
        sync_path(path.parent)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{option} {path}: cannot be made: {error.strerror or error}".lstrip()) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file, whole or not at all. Raises OutputError."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON file, whole or not at all, null for numbers that are not finite. Raises OutputError."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value with None for every float in it, at any depth, that is NaN or infinite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Create an empty file of a random name beside `path`, yield its path, and remove what is left of it at the end.

    Raises OSError.
    """
    temporary = path.with_name(temporary_name(path))
    os.close(os.open(temporary, EXCLUSIVE, 0o666))
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def without_waiting(name: str, flags: int) -> int:
    """Open a file, as the `opener` of `open`: a named pipe would block for ever."""
    return os.open(name, flags | os.O_NONBLOCK)


def temporary_name(path: Path) -> str:
    """Return a name that nobody can guess, hidden, that tells what it is going to be."""
    return f".{path.name}.{secrets.token_hex(8)}.tmp"


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed writers have left in a folder, of the file or folder `name` or of all, none of which another
    process writes now. What cannot be removed stays.
    """
    for path in folder.iterdir():
        found = LEFTOVER.fullmatch(path.name)
        if found and name in ("", found[1]):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def replace_by(written: Path, path: Path) -> None:
    """Give a finished file the name `path`, replacing what has it; both survive a power cut. Raises OSError."""
    sync_path(written)
    os.replace(written, path)
    sync_path(path.parent)


def publish(written: Mapping[Path, Path]) -> None:
    """Give finished files the names that they stand under in `written`: all of them or none; both survive a power cut.

    Raises FileExistsError if a name is taken, OSError.
    """
    for temporary in written.values():
        sync_path(temporary)
    with contextlib.ExitStack() as undo:
        for path, temporary in written.items():
            give_new_name(temporary, path)
            undo.callback(path.unlink)
        for folder in {path.parent for path in written}:
            sync_path(folder)
        undo.pop_all()


def give_new_name(temporary: Path, path: Path) -> None:
    """Give a finished file a name that must be free: by a hard link, where there are none by a rename that replaces
    nothing, and where there is no such either (macOS has neither on exFAT) by taking the name first.

    In the last way alone a kill in between leaves an empty file of that name. Raises FileExistsError, OSError.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not rename_noreplace(temporary, path):
            os.close(os.open(path, EXCLUSIVE, 0o666))
            os.replace(temporary, path)


def rename_noreplace(source: Path, target: Path) -> bool:
    """Rename a file to a name that must be free, by renameat2 of Linux; return False where there is no such call.

    Raises FileExistsError, OSError.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    if function(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def sync_path(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # file systems that sync no folder
            raise
    finally:
        os.close(descriptor)
