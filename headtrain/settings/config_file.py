"""A configuration as TOML: `config.toml` of a run, and what `--config FILE.toml` takes. Nothing but settings:

preset = "amnet"     # what the others start from; may be left out
[head]
steps = 4
[training]
learning_rate = 1e-4
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from amnet_common.errors import ConfigError
from amnet_common.small_texts import MOST_BITS, shortened, small_text
from headtrain.settings.configuration import SETTINGS, Config, HeadConfig, TrainingConfig, from_stored

MOST_BYTES, MOST_DOTS = 64_000, 16  # of a file, of a line: dotted keys take memory as the square of their parts
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
    content = _parsed(path)
    preset = content.pop("preset", None)
    if preset is not None and not isinstance(preset, str):
        raise ConfigError(f"--config {path}: preset: expected a name, found {shortened(preset)}")
    values: dict[str, Any] = {}
    for table, found in content.items():
        if table not in TABLES or not isinstance(found, dict):
            what = f"{shortened(table)} = {shortened(found)}"
            raise ConfigError(f"--config {path}: expected preset, [head] and [training], found {what}")
        values |= {name: _checked(path, table, name, value) for name, value in from_stored(found).items()}
    return preset, values


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = small_text(path, MOST_BYTES)
        if max(line.count(".") for line in text.split("\n")) > MOST_DOTS:  # before tomllib takes memory for them
            raise ValueError(f"a line of more than {MOST_DOTS} dots")
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)[:200]
        raise ConfigError(f"--config {path}: expected a readable TOML file, found {found}") from error


def _checked(path: Path, table: str, name: str, value: object) -> object:
    where = f"--config {path}: [{table}] {name[:40]}"
    if name == "own":
        return value  # pairs, as `from_stored` read them
    if name not in {field.name for field in fields(TABLES[table])}:
        raise ConfigError(f"{where}: expected one of {', '.join(f.name for f in fields(TABLES[table]))}")
    kind = str if name == "source" else SETTINGS[name].kind
    fitting = (int, float) if kind is float else (kind,)
    if type(value) not in fitting or (isinstance(value, int) and value.bit_length() > MOST_BITS):
        wanted = f"{'an' if kind is int else 'a'} {kind.__name__}"
        raise ConfigError(f"{where}: expected {wanted}, found {shortened(value)}")
    return kind(value)


def _literal(value: object) -> str:
    """As TOML, whose texts are escaped as those of JSON are."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_literal(one)}' for name, one in value.items())} }}"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
