"""Settings as people read them: each with its value, the paper's, a mark where it departs, and its source."""

from collections.abc import Iterator
from typing import NamedTuple

from headtrain.settings.configuration import OF_THE_PAPER, SETTINGS, Config
from headtrain.settings.presets import PAPER, preset_behind

OWN, DEPARTS, AS_PAPER = "**", "*", ""  # not as in the preset; not as in the paper


class DescribedSetting(NamedTuple):
    """Hold one setting as texts."""

    name: str  # the field's
    value: str
    paper: str
    mark: str  # OWN, DEPARTS or AS_PAPER
    source: str


def described_settings(config: Config) -> Iterator[DescribedSetting]:
    """Describe every setting of a configuration, those of the head first."""
    preset = preset_behind(config)
    defaults, paper = preset.config.values(), PAPER.values()
    for name, value in config.head.own:
        yield DescribedSetting(name, as_text(value), "", OWN, f"a setting of {config.head.architecture}")
    for name, value in config.values().items():
        if config.head.has_own and name in OF_THE_PAPER:
            continue
        own, departs = value != defaults[name], value != paper[name]
        source = f"set for this run; {SETTINGS[name].about}" if own else preset.source(name)
        mark = OWN if own else DEPARTS if departs else AS_PAPER
        yield DescribedSetting(name, as_text(value), as_text(paper[name]), mark, source)


def as_text(value: object) -> str:
    """Write a setting's value for people."""
    return "from the data" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
