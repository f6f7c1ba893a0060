"""Settings as people type them: the names of columns and grids (--lr's is lr), and the values after an equals sign."""

from collections.abc import Mapping

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import SETTINGS, option_of

COLUMNS: Mapping[str, str] = {name: option_of(name).removeprefix("--") for name in SETTINGS}  # --lr is learning_rate
NAMES: Mapping[str, str] = {column: name for name, column in COLUMNS.items()}
TRUTH = {"true": True, "false": False}


def read_value(where: str, kind: type, text: str) -> object:
    """Convert a text to a value of type `kind`. Raises ConfigError, which begins with `where`."""
    try:
        return TRUTH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        wanted = "true or false" if kind is bool else f"a value of type {kind.__name__}"
        raise ConfigError(f"{where}: expected {wanted}, found {text!r}") from error
