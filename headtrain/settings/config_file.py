"""A configuration as TOML: `config.toml` of a run, and what `--config FILE.toml` takes. Nothing but settings:

preset = "amnet"     # what the others start from; may be left out
[head]
steps = 4
[training]
learning_rate = 1e-4
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import SETTINGS, Config, HeadConfig, TrainingConfig, from_stored

TABLES: Mapping[str, type] = {"head": HeadConfig, "training": TrainingConfig}


def to_toml(config: Config) -> str:
    """Return every setting that has a value as TOML text; `read_config` gives them back from a file."""
    content = config.as_dict()
    lines = [f"preset = {_literal(content['preset'])}"]
    for table in TABLES:
        values = content[table].items()
        lines += ["", f"[{table}]", *(f"{name} = {_literal(v)}" for name, v in values if v is not None)]
    return "\n".join(lines) + "\n"


def read_config(path: Path) -> tuple[str | None, dict[str, Any]]:
    """Read the preset that a TOML file names, None if it names none, and its settings by field name.

    Raises ConfigError for an unreadable file, an unknown table or setting, or a value of another type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: expected a readable TOML file, found {error}") from error
    preset = content.pop("preset", None)
    values: dict[str, Any] = {}
    for table, found in content.items():
        if table not in TABLES or not isinstance(found, dict):
            raise ConfigError(f"--config {path}: expected preset, [head] and [training], found {table!r}")
        values |= {name: _checked(path, table, name, value) for name, value in from_stored(found).items()}
    return preset, values


def _checked(path: Path, table: str, name: str, value: object) -> object:
    where = f"--config {path}: [{table}] {name}"
    if name not in {field.name for field in fields(TABLES[table])}:
        raise ConfigError(f"{where}: expected one of {', '.join(f.name for f in fields(TABLES[table]))}")
    kind = SETTINGS[name].kind
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: expected {'an' if kind is int else 'a'} {kind.__name__}, found {value!r}")
    return value


def _literal(value: object) -> str:
    """As TOML: names and numbers only, so that nothing needs escaping."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
