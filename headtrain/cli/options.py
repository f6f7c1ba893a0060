"""Options that several commands share, and one for each setting, made from its field."""

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amnet_common.collection import Collection
from amnet_common.collection.filling import filling_line
from amnet_common.collection.score_names import KEY, MEMORABILITY, named, score_name_of
from amnet_common.commands import say
from amnet_common.errors import CollectionError, ConfigError
from headtrain.cli.own_heads import set_option, with_own_head
from headtrain.settings.config_file import read_config
from headtrain.settings.configuration import SETTINGS, Config, Setting, TrainingConfig, override, refuse_untrained
from headtrain.settings.described import as_text
from headtrain.settings.presets import DEFAULT, PRESETS, for_dataset, preset

if TYPE_CHECKING:
    from headtrain.features.splits import Subsets

PATH = click.Path(path_type=Path)
ALL = "all"
Command = Callable[..., Any]


features_option = click.option("--features", required=True, multiple=True, type=PATH, help="The collection that "
                               "amnet-extract wrote. Given again: several of the same images as one, their channels "
                               "one after the other.")  # fmt: skip
device_option = click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")


score_name_option = click.option("--score-name", show_default=False, help="What the scores are called: valence, say."
                                 "  [default: as the collection says, else memorability]")  # fmt: skip


def score_name_in(given: str | None, collections: Iterable[Path | str]) -> str:
    """Return --score-name, or what the scores of all these collections are called, as far as they are still there.

    Raises ConfigError for no name.
    """
    if given is not None:
        return named(given)[KEY]
    found = set()
    for path in {str(path) for path in collections if path and Path(path).is_file()}:
        with contextlib.suppress(CollectionError):
            found.add(score_name_of(Collection(Path(path))))
    return found.pop() if len(found) == 1 else MEMORABILITY


no_test_option = click.option("--no-test", is_flag=True, help="Leave the test list closed; amnet-head test RUN opens "
                              "it later, once.")  # fmt: skip


def left_untested(asked: bool, settings: TrainingConfig, resumed: Path | None) -> bool:
    """Tell whether trainings end without a test: by --no-test, or, resumed in a folder, as one was begun there.

    Raises ConfigError where the test list chooses the epochs.
    """
    from headtrain.runs.documents import begun_without_test
    from headtrain.training.planned import refuse_chosen_on_test

    if asked:
        refuse_chosen_on_test(settings)
    return asked or (resumed is not None and begun_without_test(resumed))


def setting_options(command: Command) -> Command:
    """Add an option for each setting of head and training to a command; not given, it is None. And --set."""
    for setting in reversed([*SETTINGS.values()]):
        if setting.option:
            command = _option(setting)(command)
    return set_option(command)


def _option(setting: Setting) -> Callable[[Command], Command]:
    text = f"{setting.about}  [default: {_preset_value(setting)} in preset {DEFAULT}]"
    if setting.name == "architecture":  # whatever has its name
        return click.option("--architecture", "--arch", setting.name, default=None, metavar="NAME|CLASS", help=text)
    kind = click.Choice(setting.choices) if setting.choices else setting.kind
    return click.option(setting.option, setting.name, default=None, type=None if kind is bool else kind, help=text)


def _preset_value(setting: Setting) -> str:
    """The default preset's value, as it is typed: of a switch, its name."""
    value = PRESETS[DEFAULT].config.values()[setting.name]
    on, slash, off = setting.option.partition("/")
    return (on if value else off) if slash else as_text(value)


def merged(
    dataset: str, name: str | None, file: Path | None, given: dict[str, Any], begun: Config | None,
    view_shape: Sequence[int] = (),
) -> Config:  # fmt: skip
    """Merge the configuration: preset, then --config FILE, then single options; of a run to be resumed, its own
    instead. `view_shape`: of the collection, (h, w, D), which gives a new head its locations and channels.

    Raises ConfigError for values out of range and an unreadable file.
    """
    in_file, values = read_config(file) if file else (None, {})
    if begun and not name and not in_file:
        base = begun
    else:
        base = for_dataset(preset(name or in_file or DEFAULT).config, dataset)
        if view_shape:
            base = override(base, locations=math.prod(view_shape[:-1]), channels=view_shape[-1])
    config, left = with_own_head(override(base, **values), given)
    config = override(config, **left)
    refuse_untrained(config)
    return config


PRESET_NAMES = sorted(PRESETS)


def refuse_twice(option: str, paths: Sequence[Path]) -> None:
    """Raise ConfigError for a path that is given again: each image or head would count twice."""
    for path in paths:
        if [other.resolve() for other in paths].count(path.resolve()) > 1:
            raise ConfigError(f"{option}: expected each once, found {path} again")


def say_repeated(collection: Collection, subsets: "Subsets") -> None:
    """Print a note if files of the test list are trained or validated on under another name."""
    from headtrain.features.seen import repeated_line

    if line := repeated_line(collection, subsets):
        say(line, err=True)


def say_unfinished(collection: Collection) -> None:
    """Print a note if a collection is being filled: how many images of how many are done."""
    if line := filling_line(collection):
        say(f"note: {line}", err=True)


def chosen_splits(collection: Collection, text: str) -> list[int]:
    """Return the split numbers that --split names. Raises ConfigError, CollectionError."""
    if text != ALL:
        if not text.isdecimal():
            raise ConfigError(f"--split: expected a number or all, found {text!r}")
        return [int(text)]
    numbers = sorted(int(name.removeprefix("test_")) for name in collection.splits if name.startswith("test_"))
    if not numbers:
        raise CollectionError(f"{collection.path}: expected split lists, found none; amnet-cache relabel gives it some")
    return numbers
