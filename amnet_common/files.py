"""A file that gets its name when it is whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amnet_common.errors import OutputError


@contextmanager
def whole_file(path: Path, option: str = "") -> Iterator[Path]:
    """Where to write it meanwhile, beside `path`. Raises OutputError, which begins with the option that named it."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{option} {path}: cannot be written: {error.strerror}".lstrip()) from error
    finally:
        temporary.unlink(missing_ok=True)
