"""The documentation site: it builds without a warning, and says what the commands say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = "".join(path.read_text(encoding="utf-8") for top in ("extract", "headtrain", "amnet_common")
                  for path in (ROOT / top).rglob("*.py"))  # fmt: skip
LITERALS = re.sub(r'"\s*\n\s*f?"', "", SOURCES)  # texts that go on in the next line


def messages():
    """What the page of messages quotes, in the parts that stand between values."""
    for line in (DOCS / "messages.md").read_text(encoding="utf-8").splitlines():
        for quoted in re.findall(r"`([^`]+)`", line.split("|")[1]) if line.startswith("| `") else ():
            yield from (part.strip() for part in re.split(r" ?\.\.\.,? ?|\bN\b", quoted) if len(part.strip()) > 7)


@pytest.mark.parametrize("message", [*messages()])
def test_every_message_of_the_page_is_one_of_ours(message):
    assert message in LITERALS


def test_the_site_builds_without_a_warning(tmp_path):
    mkdocs = Path(sys.executable).parent / "mkdocs"
    if not mkdocs.exists():
        pytest.skip("mkdocs is not installed: pip install '.[docs]'")
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run([mkdocs, "build", "--strict"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert built.returncode == 0, built.stderr
    commands = (tmp_path / "site/commands.html").read_text(encoding="utf-8")
    for name in ("amnet-extract", "relabel", "methods", "--least-updates"):
        assert name in commands
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="https?://[^"]+"', page), "loads from elsewhere"


@pytest.mark.parametrize("page", sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")))
def test_every_page_stands_in_the_table_of_contents(page):
    assert f"{page}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
