"""The settings of a head of one's own: names with plain values, as its class declares them in a frozen dataclass.

A configuration holds them as sorted pairs, which may be compared and hashed; files hold them as an object.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, get_type_hints

from amnet_common.errors import ConfigError
from amnet_common.small_texts import MOST_BITS, shortened

Value = bool | int | float | str
Pairs = tuple[tuple[str, Value], ...]  # sorted by their names

PREFIX = "own."  # before the name of such a setting, where others stand beside it
KINDS = (bool, int, float, str)
MOST_SETTINGS, MOST_TEXT = 100, 200


def as_pairs(values: Mapping[str, Any]) -> Pairs:
    """Return settings as sorted pairs. Raises ConfigError for names and values that cannot be any."""
    if len(values) > MOST_SETTINGS:
        raise ConfigError(f"own: expected at most {MOST_SETTINGS} settings, found {len(values)}")
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier() or len(name) > MOST_TEXT:
            raise ConfigError(f"own: expected names of settings, found {shortened(name)}")
        if not is_plain(value):
            raise ConfigError(
                f"own: expected true, false, a number or a short text as {name}, found {shortened(value)}"
            )
    return tuple(sorted(values.items()))


def is_plain(value: object) -> bool:
    """Tell whether a value is one that a setting may have, and that every file can hold."""
    if isinstance(value, str):
        return len(value) <= MOST_TEXT and value.isprintable()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool) or (isinstance(value, int) and value.bit_length() <= MOST_BITS)


def kinds_of(settings: type, where: str) -> dict[str, type]:
    """Return the fields of a frozen dataclass of settings with their types.

    Raises ConfigError, which begins with `where`, for a class that is none, a field without a default, and one of
    another type than bool, int, float or str.
    """
    parameters = getattr(settings, "__dataclass_params__", None)
    if not dataclasses.is_dataclass(settings) or not getattr(parameters, "frozen", False):
        raise ConfigError(f"{where}: expected Settings to be a frozen dataclass, found {shortened(settings)}")
    try:
        hints = get_type_hints(settings)
    except (NameError, TypeError) as error:
        raise ConfigError(f"{where}: expected types of settings that are known, found {error}") from error
    found: dict[str, type] = {}
    for item in dataclasses.fields(settings):
        if hints[item.name] not in KINDS:
            raise ConfigError(f"{where}: expected settings of type bool, int, float or str, found {item.name}: "
                              f"{getattr(hints[item.name], '__name__', hints[item.name])}")  # fmt: skip
        if item.default is dataclasses.MISSING:
            raise ConfigError(f"{where}: expected a default of each setting, found none of {item.name}")
        found[item.name] = hints[item.name]
    return found
