"""What a trained head is, by the names that columns have; conditions on it (lr=1e-4, split=1); what tells it apart."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from amnet_common.errors import ConfigError, RunError
from headtrain.leaderboard.listing import TrainedHead
from headtrain.settings.configuration import OF_THE_PAPER, SETTINGS
from headtrain.settings.text import COLUMNS, read_value

Row = dict[str, Any]  # a cell for each column: text, number, bool, or None where there is none
Condition = tuple[str, object]  # a fact's name, and what it must be

OWN_COLUMNS = ("status", "features", "split")  # the others stand only where they differ
KINDS: Mapping[str, type] = {"status": str, "features": str, "split": int, "preset": str} | {
    COLUMNS[name]: setting.kind for name, setting in SETTINGS.items()
}
NO_OWN: Mapping[str, type] = {}
OPTIONAL = {COLUMNS[name] for name, setting in SETTINGS.items() if setting.optional}


def facts_of(head: TrainedHead) -> dict[str, object]:
    """Return what a head is, by the names that columns and conditions have."""
    own = {"status": head.status, "features": head.features, "split": head.split}
    hidden = OF_THE_PAPER if head.config.head.has_own else set()
    settings = {COLUMNS[name]: value for name, value in head.config.values().items() if name not in hidden}
    return own | {"preset": head.config.preset} | settings | dict(head.config.head.own)


def read_condition(text: str, own: Mapping[str, type] = NO_OWN) -> Condition:
    """Parse KEY=VALUE, the value by the type of KEY; `none` for a setting left to the data. `own`: settings of heads of
    one's own with their types. Raises ConfigError.
    """
    key, equals, value = text.partition("=")
    kinds = {**own, **KINDS}
    if not equals or key not in kinds:
        raise ConfigError(f"--where: expected KEY=VALUE with one of {', '.join((*KINDS, *own))}, found {text!r}")
    if value == "none" and key in OPTIONAL:
        return key, None
    return key, read_value(f"--where {key}", kinds[key], value)


def own_kinds(heads: Iterable[TrainedHead]) -> dict[str, type]:
    """Return the settings that heads of one's own have, with their types."""
    return {name: type(value) for head in heads for name, value in head.config.head.own}


def matching(heads: Sequence[TrainedHead], conditions: Sequence[Condition]) -> list[TrainedHead]:
    """Return the heads that meet every condition. Raises RunError if none does."""
    found = [head for head in heads if not conditions or set(conditions) <= set(facts_of(head).items())]
    if not found:
        wanted = ", ".join(f"{key}={value}" for key, value in conditions)
        raise RunError(f"--where: expected heads with {wanted}, found none among {len(heads)}")
    return found


def description(heads: Sequence[TrainedHead]) -> Callable[[TrainedHead], Row]:
    """Return a function that tells a head's features, seed, preset and settings: those in which `heads` differ."""
    facts = [facts_of(head) for head in heads]
    names = features_names(heads)
    of_own = [name for head in heads for name, _ in head.config.head.own]  # settings of heads of one's own
    told = [key for key in dict.fromkeys(("seed", *KINDS, *of_own)) if key not in OWN_COLUMNS]
    differing = [key for key in told if len({fact.get(key) for fact in facts}) > 1]

    def describe(head: TrainedHead) -> Row:
        features = {"features": names[head.features, head.fingerprint]} if len(names) > 1 else {}
        found = facts_of(head)
        return features | {key: found.get(key) for key in differing}

    return describe


def features_names(heads: Iterable[TrainedHead]) -> dict[tuple[str, str], str]:
    """Name each collection file, by name and fingerprint: its name, with the fingerprint where one name has several."""
    kinds = {(head.features, head.fingerprint) for head in heads}
    files = Counter(name for name, _ in kinds)
    return {(name, print_): name if files[name] == 1 else f"{name} {print_[:8]}" for name, print_ in kinds}
