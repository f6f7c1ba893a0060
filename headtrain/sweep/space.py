"""Where a search looks (pure): `--grid steps=2,3` is a choice, `--range lr=1e-5:1e-2:log` anything in between."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple, cast

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import SETTINGS, Config
from headtrain.settings.text import NAMES, read_value
from headtrain.sweep.grid import TOGETHER, Axis, points, settings_of

LOG = "log"


class Range(NamedTuple):
    """Hold a key with bounds, which belong to it, and the settings that it sets. Integers if the bounds are."""

    key: str
    settings: tuple[str, ...]
    low: float
    high: float
    log: bool  # as many values from 1 to 10 as from 10 to 100


def read_range(text: str) -> Range:
    """Parse KEY=LOW:HIGH or KEY=LOW:HIGH:log, the keys those of a grid that set numbers. Raises ConfigError."""
    found = re.fullmatch(f"(.*?)=([^:]*):([^:]*)(:{LOG})?", text)
    if not found or not is_number(found[1]):
        wanted = ", ".join(known for known in (*TOGETHER, *NAMES) if is_number(known))
        raise ConfigError(f"--range: expected KEY=LOW:HIGH or KEY=LOW:HIGH:{LOG} with one of {wanted}, found {text!r}")
    key, settings, log = found[1], settings_of(found[1]), bool(found[4])
    kind = SETTINGS[settings[0]].kind
    low, high = (cast(float, read_value(f"--range {key}", kind, end)) for end in found.group(2, 3))
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"--range {key}: expected LOW < HIGH, found {low}:{high}")
    if log and low <= 0:
        raise ConfigError(f"--range {key}: expected LOW > 0 for a logarithmic scale, found {low}")
    return Range(key, settings, low, high, log)


def is_number(key: str) -> bool:
    """Tell whether a key sets numbers."""
    return any(SETTINGS[name].kind in (int, float) for name in settings_of(key))


def corners(base: Config, axes: Sequence[Axis], ranges: Sequence[Range]) -> list[Config]:
    """Return `base` at every choice with every end of the ranges. What a setting may be has no gaps: if these are
    possible, all between them is.

    Raises ConfigError for impossible ones, a setting that is set twice, and a space of one point.
    """
    keys: list[Axis | Range] = [*axes, *ranges]
    twice = [name for name in SETTINGS if sum(name in one.settings for one in keys) > 1]
    if twice:
        raise ConfigError(f"--grid, --range: expected each setting once, found {', '.join(twice)} in several")
    if not keys:
        raise ConfigError("--trials: expected a --grid or --range to search in, found none")
    ends = [Axis(one.key, one.settings, (one.low, one.high)) for one in ranges]
    return [point.config for point in points(base, [*axes, *ends], [base.training.seed])]


def described(axes: Sequence[Axis], ranges: Sequence[Range]) -> dict[str, str]:
    """Return the space by its keys, as it is typed."""
    choices = {axis.key: ",".join(str(value).lower() for value in axis.values) for axis in axes}
    return choices | {one.key: f"{one.low}:{one.high}{f':{LOG}' if one.log else ''}" for one in ranges}
