"""The bytes of an image file, read once, with what tells later whether it has changed."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from amnet_common.errors import ImageError
from amnet_common.files import without_waiting

MAX_FILE_BYTES = 2**30  # larger than any photograph; a bound on what one broken row can cost


@dataclass(frozen=True)
class SourceFile:
    """Hold the bytes of an image file and what tells later whether it has changed."""

    data: bytes
    sha256: bytes  # 32 bytes
    size: int  # bytes
    mtime_ns: int


def read_source(path: Path) -> SourceFile:
    """Read the whole of an image file. Raises ImageError with the reason if that cannot be done."""
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


def _refuse_unlikely_files(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ImageError("not a regular file")
    if info.st_size == 0:
        raise ImageError("empty file (0 bytes)")
    if info.st_size > MAX_FILE_BYTES:
        raise ImageError(f"file of {info.st_size} bytes, more than {MAX_FILE_BYTES}")
