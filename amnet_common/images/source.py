"""The bytes of an image file, read once, with what tells later whether it has changed."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from amnet_common.errors import ImageError
from amnet_common.files import without_waiting
from amnet_common.remote import facts_at, is_remote, read_object, reason

MAX_FILE_BYTES = 2**30  # larger than any photograph; a bound on what one broken row can cost


@dataclass(frozen=True)
class SourceFile:
    """Hold the bytes of an image file and what tells later whether it has changed."""

    data: bytes
    sha256: bytes  # 32 bytes
    size: int  # bytes
    mtime_ns: int


def read_source(path: Path) -> SourceFile:
    """Read a whole image file, of a disk or a store. Raises ImageError with the reason if that cannot be done."""
    if is_remote(path):
        return _read_remote(path)
    try:
        with open(path, "rb", opener=without_waiting) as file:
            info = os.fstat(file.fileno())
            _refuse_unlikely_files(info)
            data = file.read()
    except FileNotFoundError as error:
        raise ImageError("missing file") from error
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
    return SourceFile(data, hashlib.sha256(data).digest(), len(data), info.st_mtime_ns)


def _read_remote(path: Path) -> SourceFile:
    facts = facts_at(path)
    if facts:
        _refuse_unlikely_sizes(facts.size)
    try:
        data, mtime_ns = read_object(path)
    except FileNotFoundError as error:
        raise ImageError("missing file") from error
    except OSError as error:
        raise ImageError(f"cannot be read: {reason(error)}") from error
    _refuse_unlikely_sizes(len(data))
    return SourceFile(data, hashlib.sha256(data).digest(), len(data), mtime_ns)


def _refuse_unlikely_files(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ImageError("not a regular file")
    _refuse_unlikely_sizes(info.st_size)


def _refuse_unlikely_sizes(size: int) -> None:
    if size == 0:
        raise ImageError("empty file (0 bytes)")
    if size > MAX_FILE_BYTES:
        raise ImageError(f"file of {size} bytes, more than {MAX_FILE_BYTES}")
