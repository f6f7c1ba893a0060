"""What a sweep tries (pure): `--grid lr=1e-4,3e-4 --grid dropout=0.3,0.5` is four points, each with a name."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import OF_THE_PAPER, SETTINGS, Config, override
from headtrain.settings.own import PREFIX
from headtrain.settings.text import NAMES, read_value

TOGETHER: Mapping[str, tuple[str, ...]] = {"dropout": ("feature_dropout", "regress_dropout")}  # one value for all
NOT_OF_OWN = {*OF_THE_PAPER, "architecture"}  # settings that a head of one's own does not have, or is
NO_OWN: Mapping[str, type] = {}
ONE_FOR_ALL = ("seed", "data-seed", "select-on")  # --seeds; and what makes the lists, which a sweep reads once


class Axis(NamedTuple):
    """Hold a key of the grid with its values, and the settings that it sets."""

    key: str
    settings: tuple[str, ...]
    values: tuple[object, ...]


class Point(NamedTuple):
    """Hold one combination of a grid."""

    name: str  # of its folder: key=value,key=value
    config: Config


def read_axis(text: str, own: Mapping[str, type] = NO_OWN) -> Axis:
    """Parse KEY=VALUE,VALUE with the options' names as keys, or `dropout`. Raises ConfigError.

    `own`: the settings of a head of one's own with their types, which are keys in place of those of the paper's head.
    """
    key, equals, values = text.partition("=")
    settings = settings_of(key, own)
    if not equals or not settings:
        wanted = ", ".join(keys_of(own))
        raise ConfigError(f"--grid: expected KEY=VALUE,VALUE with one of {wanted}, found {text!r}")
    kind = kind_of(key, own)
    found = tuple(read_value(f"--grid {key}", kind, value) for value in values.split(","))
    if len(set(found)) < len(found):
        raise ConfigError(f"--grid {key}: expected different values, found {values}")
    if any("/" in value for value in found if isinstance(value, str)):
        raise ConfigError(f"--grid {key}: expected values without a slash, as they name folders, found {values}")
    return Axis(key, settings, found)


def settings_of(key: str, own: Mapping[str, type] = NO_OWN) -> tuple[str, ...]:
    """Return the settings that a key sets; none for an unknown key, or one that a grid may not have."""
    if key in own:
        return (PREFIX + key,)
    if key in TOGETHER:
        return () if own else TOGETHER[key]
    name = NAMES.get(key)
    if name is None or not SETTINGS[name].option or key in ONE_FOR_ALL or (own and name in NOT_OF_OWN):
        return ()
    return (name,)


def keys_of(own: Mapping[str, type] = NO_OWN) -> list[str]:
    """Return the keys that a grid may have."""
    return [key for key in dict.fromkeys((*own, *TOGETHER, *NAMES)) if settings_of(key, own)]


def kind_of(key: str, own: Mapping[str, type] = NO_OWN) -> type:
    """Return the type of the values of a key that sets something."""
    return own[key] if key in own else SETTINGS[settings_of(key, own)[0]].kind


def twice(axes: Sequence[Axis]) -> list[str]:
    """Return the settings that several axes set."""
    counted = Counter(name for axis in axes for name in axis.settings)
    return [name.removeprefix(PREFIX) for name, times in counted.items() if times > 1]


def points(base: Config, axes: Sequence[Axis], seeds: Sequence[int]) -> list[Point]:
    """Return `base` at every combination of the axes' values with every seed.

    Raises ConfigError for impossible ones, and for a setting that several axes set.
    """
    set_twice = twice(axes)
    if set_twice:
        raise ConfigError(f"--grid: expected each setting once, found {', '.join(set_twice)} in several")
    found: list[Point] = []
    for values in itertools.product(*(axis.values for axis in axes)):
        changed: dict[str, Any] = {
            name: value for axis, value in zip(axes, values, strict=True) for name in axis.settings
        }
        words = [f"{axis.key}={str(value).lower()}" for axis, value in zip(axes, values, strict=True)]
        found += [Point(",".join([*words, f"seed={seed}"]), override(base, **changed, seed=seed)) for seed in seeds]
    return found
