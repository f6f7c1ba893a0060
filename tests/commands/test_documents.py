"""The README and the commands agree."""

import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amnet_common import commands
from amnet_common.cli import main as cache
from extract.cli import main as extract
from headtrain.cli import main as head

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {"amnet-extract": extract}
COMMANDS |= {f"amnet-{group} {name}": command for group, commands in (("head", head), ("cache", cache))
             for name, command in commands.commands.items()}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name):
    assert name in README


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    command = COMMANDS[name]
    assert CliRunner().invoke(command, ["--help"]).exit_code == 0
    assert command.help
    assert not [p.name for p in command.params if isinstance(p, click.Option) and not p.help]


def test_every_package_is_named_in_pyproject():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("amnet", "extract", "headtrain", "amnet_common")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == found


def test_the_table_of_exit_statuses_has_those_that_commands_end_with_and_no_page_names_another():
    constants = {value for name, value in vars(commands).items() if name.isupper() and isinstance(value, int)}
    table = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {0, *constants}
    named = {
        int(status)
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for status in re.findall(r"\bstatus (\d+)", path.read_text(encoding="utf-8"))
    }
    assert named <= {0, *constants}
