"""Where a search looks (pure): `--grid steps=2,3` is a choice, `--range lr=1e-5:1e-2:log` anything in between."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import Config
from headtrain.settings.text import read_value
from headtrain.sweep.grid import NO_OWN, Axis, keys_of, kind_of, points, settings_of, twice

LOG = "log"


class Range(NamedTuple):
    """Hold a key with bounds, which belong to it, and the settings that it sets. Integers if the bounds are."""

    key: str
    settings: tuple[str, ...]
    low: float
    high: float
    log: bool  # as many values from 1 to 10 as from 10 to 100


def read_range(text: str, own: Mapping[str, type] = NO_OWN) -> Range:
    """Parse KEY=LOW:HIGH or KEY=LOW:HIGH:log, the keys those of a grid that set numbers, `own` those of a head of one's
    own. Raises ConfigError.
    """
    found = re.fullmatch(f"(.*?)=([^:]*):([^:]*)(:{LOG})?", text)
    if not found or not is_number(found[1], own):
        wanted = ", ".join(known for known in keys_of(own) if is_number(known, own))
        raise ConfigError(f"--range: expected KEY=LOW:HIGH or KEY=LOW:HIGH:{LOG} with one of {wanted}, found {text!r}")
    key, settings, log = found[1], settings_of(found[1], own), bool(found[4])
    kind = kind_of(key, own)
    low, high = (cast(float, read_value(f"--range {key}", kind, end)) for end in found.group(2, 3))
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"--range {key}: expected LOW < HIGH, found {low}:{high}")
    if log and low <= 0:
        raise ConfigError(f"--range {key}: expected LOW > 0 for a logarithmic scale, found {low}")
    return Range(key, settings, low, high, log)


def is_number(key: str, own: Mapping[str, type] = NO_OWN) -> bool:
    """Tell whether a key sets numbers."""
    return bool(settings_of(key, own)) and kind_of(key, own) in (int, float)


def corners(base: Config, axes: Sequence[Axis], ranges: Sequence[Range]) -> list[Config]:
    """Return `base` at every choice with every end of the ranges. What a setting may be has no gaps: if these are
    possible, all between them is.

    Raises ConfigError for impossible ones, a setting that is set twice, and a space of one point.
    """
    keys = [*axes, *(Axis(one.key, one.settings, (one.low, one.high)) for one in ranges)]  # of a range its ends
    if several := twice(keys):
        raise ConfigError(f"--grid, --range: expected each setting once, found {', '.join(several)} in several")
    if not keys:
        raise ConfigError("--trials: expected a --grid or --range to search in, found none")
    return [point.config for point in points(base, keys, [base.training.seed])]


def described(axes: Sequence[Axis], ranges: Sequence[Range]) -> dict[str, str]:
    """Return the space by its keys, as it is typed."""
    choices = {axis.key: ",".join(str(value).lower() for value in axis.values) for axis in axes}
    return choices | {one.key: f"{one.low}:{one.high}{f':{LOG}' if one.log else ''}" for one in ranges}
