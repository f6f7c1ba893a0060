"""What a sweep tries (pure): `--grid lr=1e-4,3e-4 --grid dropout=0.3,0.5` is four points, each with a name."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import SETTINGS, Config, override
from headtrain.settings.text import NAMES, read_value

TOGETHER: Mapping[str, tuple[str, ...]] = {"dropout": ("feature_dropout", "regress_dropout")}  # one value for all
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


def read_axis(text: str) -> Axis:
    """Parse KEY=VALUE,VALUE with the options' names as keys, or `dropout`. Raises ConfigError."""
    key, equals, values = text.partition("=")
    settings = settings_of(key)
    if not equals or not settings:
        wanted = ", ".join([*TOGETHER, *(known for known in NAMES if settings_of(known))])
        raise ConfigError(f"--grid: expected KEY=VALUE,VALUE with one of {wanted}, found {text!r}")
    kind = SETTINGS[settings[0]].kind
    found = tuple(read_value(f"--grid {key}", kind, value) for value in values.split(","))
    if len(set(found)) < len(found):
        raise ConfigError(f"--grid {key}: expected different values, found {values}")
    return Axis(key, settings, found)


def settings_of(key: str) -> tuple[str, ...]:
    """Return the settings that a key sets; none for an unknown key, or one that a grid may not have."""
    if key in TOGETHER:
        return TOGETHER[key]
    name = NAMES.get(key)
    return (name,) if name and SETTINGS[name].option and key not in ONE_FOR_ALL else ()


def points(base: Config, axes: Sequence[Axis], seeds: Sequence[int]) -> list[Point]:
    """Return `base` at every combination of the axes' values with every seed.

    Raises ConfigError for impossible ones, and for a setting that several axes set.
    """
    set_twice = [name for name in SETTINGS if sum(name in axis.settings for axis in axes) > 1]
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
