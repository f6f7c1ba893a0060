"""One command at a time for an output: a lock beside it that dies with its process, however that ends.

The lock is on the file `.NAME.lock` beside the output, which is removed at the end. Where a file system has no locks,
nothing is locked. Nothing is ever written into the lock file, and a symbolic link under its name is not followed.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amnet_common.errors import BusyError, OutputError
from amnet_common.files import remove_leftovers
from amnet_common.locks import lock_file

# endings of what a command writes beside its output
COMPANIONS = (".json", ".part", ".part.json", ".part.blocks", ".ids.txt")
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def only_writer(path: Path, option: str = "--out", make_folders: bool = False) -> Iterator[None]:
    """Be the only command that writes the file or folder `path`, which need not exist yet.

    `make_folders`: make those that it is to stand in.

    Raises BusyError if another command is at it, OutputError if nothing can be written there.
    """
    lock = lock_of(path)
    try:
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(lock)
    except OSError as error:
        raise OutputError(f"{option} {path}: cannot be written: {error.strerror or error}") from error
    if file is None:
        raise BusyError(f"{option} {path}: expected to be the only command that writes it, found another at work; wait "
                        "for it, or give another name")  # fmt: skip
    try:
        with contextlib.suppress(OSError):
            for ending in ("", *COMPANIONS):  # of commands that were killed
                remove_leftovers(path.parent, f"{path.name}{ending}")
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()  # still held: whoever waits for this very file finds that it has gone, and makes its own
        os.close(file)


def clear_locks(folder: Path) -> None:
    """Remove the locks of outputs in the folders of `folder` whose commands were killed; those that are held stay."""
    for lock in folder.glob("*/.*.lock"):
        with contextlib.suppress(OSError):
            if (file := _locked(lock)) is not None:
                lock.unlink()
                os.close(file)


def lock_of(path: Path) -> Path:
    """Return the name of the lock file of an output; those who name it otherwise, through a link say, get the same."""
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


def _locked(lock: Path) -> int | None:
    """Open and lock a lock file, and return its descriptor; None if another process holds it. Raises OSError."""
    while True:
        file = os.open(lock, FLAGS, 0o666)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, file)
            if not lock_file(file):
                return None
            if _is_still_there(file, lock):
                undo.pop_all()
                return file


def _is_still_there(file: int, lock: Path) -> bool:
    """Tell whether an opened lock file still has its name: its holder may just have removed it."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(lock))
    except FileNotFoundError:
        return False
