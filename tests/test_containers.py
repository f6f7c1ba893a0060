"""The recipes of containers copy what there is, and install what pyproject.toml names."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPES = {name: (ROOT / "containers" / name).read_text() for name in ("Containerfile", "amnet.def")}


def copied(text: str) -> set[str]:
    """What a recipe takes of the repository."""
    lines = [line.split()[1:-1] for line in re.findall(r"^COPY .*$", text, re.MULTILINE)]
    files = re.search(r"^%files\n((?:    .*\n)+)", text, re.MULTILINE)
    return {name for line in lines for name in line} | (
        {line.split()[0] for line in files[1].splitlines()} if files else set()
    )


@pytest.mark.parametrize("name", RECIPES)
def test_all_packages_and_what_their_build_reads_are_copied(name):
    packages = {package.partition(".")[0] for package in PROJECT["tool"]["setuptools"]["packages"]}
    project = PROJECT["project"]
    assert copied(RECIPES[name]) == packages | {"pyproject.toml", project["readme"], "LICENSE"}
    assert all((ROOT / one).exists() for one in copied(RECIPES[name]))


@pytest.mark.parametrize("name", RECIPES)
def test_extras_are_those_of_the_project(name):
    extras = re.search(r"EXTRAS=(\S+)", RECIPES[name])[1].split(",")
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])


def test_context_of_a_build_is_what_is_copied():
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied(RECIPES["Containerfile"])


def test_commands_of_the_page_are_those_of_the_project():
    page = (ROOT / "docs/containers.md").read_text()
    assert set(re.findall(r"amnet-(?:extract|head|cache)", page)) <= set(PROJECT["project"]["scripts"])
