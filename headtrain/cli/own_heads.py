"""Heads of a user's own on the command line: --arch names the class, --set its settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import EQUATIONS, OF_THE_PAPER, Config, option_of
from headtrain.settings.text import read_value

if TYPE_CHECKING:
    from headtrain.heads.own import OwnHead

set_option = click.option("--set", "own", multiple=True, metavar="NAME=VALUE", help="A setting of a head of your own "
                          "(--arch). May be given again.")  # fmt: skip


def arch_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --arch to a command that loads heads: it names their classes before the command runs."""

    @wraps(command)
    def call(*args: Any, arch: Sequence[str], **words: Any) -> Any:  # noqa: ANN401 - as the command
        if arch:
            from headtrain.heads.own import name_head

            for reference in arch:
                name_head(reference)
        return command(*args, **words)

    return click.option("--arch", multiple=True, metavar="CLASS", help="The class of a head of your own, as for train: "
                        "no run loads code by itself. May be given again.")(call)  # fmt: skip


def with_own_head(config: Config, given: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Return a configuration whose head is of the class that the options ask for, and the options that are left.

    `given`: an option for each setting, `architecture` and `own` among them, None or empty where it is not given. A
    head of one's own keeps the settings that `config` has of it. Raises ConfigError.
    """
    left = dict(given)
    words, reference = left.pop("own", ()), left.get("architecture")
    if reference is None and config.head.has_own:
        reference = config.head.architecture
    if reference is None or reference in EQUATIONS:
        if words:
            raise ConfigError(f"--set {words[0]}: expected --arch with a head of your own, found none")
        if reference and config.head.has_own:
            config = replace(config, head=replace(config.head, source="", own=(), architecture=reference))
        return config, left
    from headtrain.heads.own import found_or_named

    found = found_or_named(reference, told=left.pop("architecture", None) is not None)
    refuse_of_the_paper(left, found)
    kept = dict(config.head.own) if config.head.architecture == found.name else {}
    own = found.defaults() | kept | dict(read_setting(word, found) for word in words)
    return replace(config, head=config.head.with_own(found.name, found.source, own)), left


def refuse_of_the_paper(given: Mapping[str, Any], found: "OwnHead") -> None:
    """Raise ConfigError for a given setting that a head of one's own does not have."""
    for name in OF_THE_PAPER:
        if given.get(name) is not None:
            known = ", ".join(found.kinds) or "none"
            raise ConfigError(f"{option_of(name)}: expected a setting of {found.name} (--set; it has {known}), "
                              "found one of the paper's head")  # fmt: skip


def read_setting(word: str, found: "OwnHead") -> tuple[str, object]:
    """Parse NAME=VALUE by the class's own types. Raises ConfigError."""
    name, equals, value = word.partition("=")
    if not equals or name not in found.kinds:
        raise ConfigError(f"--set: expected NAME=VALUE with a setting of {found.name} "
                          f"({', '.join(found.kinds) or 'none'}), found {word!r}")  # fmt: skip
    return name, read_value(f"--set {name}", found.kinds[name], value)


def kinds_in(config: Config) -> Mapping[str, type]:
    """Return the settings of a configuration's head of one's own with their types; none of another head."""
    if not config.head.has_own:
        return {}
    from headtrain.heads.own import found_or_named

    return found_or_named(config.head.architecture, told=False).kinds
