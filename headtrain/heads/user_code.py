"""Errors of a user's own code, in one line with the line of their file."""

import sys
import traceback
from pathlib import Path


def described(error: BaseException, file: str | None) -> str:
    """Describe an error by its type and text, and the last line of `file` that it came through."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    line = error.lineno if isinstance(error, SyntaxError) else None
    if file and not line:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((one.lineno for one in reversed(frames) if Path(one.filename) == Path(file)), None)
    return f"{text}, line {line}" if line else text


def file_of(kind: type) -> str | None:
    """Return the file that a class was read from; None where there is none."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None)
