"""Small texts that anyone may have written, JSON above all: bounds on kind of file, size, depth and numbers."""

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amnet_common.files import without_waiting

MOST_BYTES = 16_000_000  # of a file: some kilobytes as a rule
MOST_BITS = 63  # of a whole number, so that NumPy and torch take it
MOST_DEPTH = 20  # objects and lists in each other
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "an object",
         list: "a list", type(None): "null"}  # fmt: skip


def small_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a text of at most `most` bytes from a regular file, a pipe or a device being refused without waiting.

    A byte order mark, as Windows' Notepad writes it, is left out. Raises OSError and ValueError.
    """
    return small_bytes(path, most).decode("utf-8-sig")


def small_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file of at most `most` bytes, as `small_text` does, without decoding it. Raises OSError and ValueError."""
    with open(path, "rb", opener=without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most} bytes")
    return data


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError for what is none, is too deep, or holds numbers that JSON has not, or that
    are too large.
    """
    found = json_value(text)
    if not isinstance(found, dict):
        raise ValueError(f"not an object but {type(found).__name__}")
    return found


def json_value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON value, as `json_object` does. Raises ValueError."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(f"more than {MOST_DEPTH} objects and lists in each other") from error
    level = [found]
    for _ in range(MOST_DEPTH + 1):
        level = [item for one in level for item in _items(one)]
    if level:
        raise ValueError(f"more than {MOST_DEPTH} objects and lists in each other")
    return found


def typed(found: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:  # noqa: ANN401 - of that kind
    """Return found[name], which must be of type `kind`, or `default` if there is none.

    A whole number may stand where a fraction is meant, and nothing else for anything else. Raises ValueError.
    """
    value = found.get(name, default)
    if value is default:
        return value
    return kind(value) if kind is float and type(value) is int else checked(name, kind, value)


def checked(name: str, kind: type, value: Any) -> Any:  # noqa: ANN401 - of that kind
    """Return `value` if it is exactly of type `kind`. Raises ValueError, which calls it `name`."""
    if type(value) is not kind:
        raise ValueError(f"{name} that is {NAMES.get(type(value), type(value).__name__)}, not {NAMES[kind]}")
    return value


def shortened(value: object, most: int = 80) -> str:
    """Return a value as it is written in Python, cut where that is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = f"{NAMES.get(type(value), type(value).__name__)} that is too large"
    return text if len(text) <= most else f"{text[:most]}..."


def reason_of(error: BaseException, most: int = 300) -> str:
    """Return what an error says, in one line, cut where that is long: it may quote what stands in a file."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]}..."


def _items(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:40]}, which is too large a number")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_BITS or (value := int(text)).bit_length() > MOST_BITS:
        raise ValueError(f"{text[:40]}, which is too large a number")
    return value
