"""The page: contents, style and script in one HTML file. No script but its own may run, which it tells the browser.

Texts reach the page through the script's `textContent` alone, so that no file name is ever read as HTML.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from amnet_common.files import whole_file


def page(contents: Mapping[str, Any], title: str) -> str:
    """Build the whole file as text. Bytes of a title that are not UTF-8 stand as an escape."""
    title = title.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    script, style = own_text("page.js"), own_text("page.css")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{source_hash(script)}'"
    return "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{html.escape(title)}</title>", f"<style>{style}</style>", "</head>", "<body>",
        f"<header><h1>{html.escape(title)}</h1><p id=\"made\"></p></header>", '<main id="main"></main>',
        "<noscript>This page draws itself with its own script, which the browser does not run.</noscript>",
        f'<script type="application/json" id="contents">{in_script(contents)}</script>',
        f"<script>{script}</script>", "</body>", "</html>", "",
    ])  # fmt: skip


def own_text(name: str) -> str:
    """Read a file of this package as text."""
    return files("headtrain.report").joinpath(name).read_text(encoding="utf-8")


def source_hash(script: str) -> str:
    """Return the hash by which a content security policy names a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"


def in_script(value: Mapping[str, Any]) -> str:
    """Encode as JSON that stays within a script element whatever its texts are: < is written as an escape."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def write_page(path: Path, text: str) -> None:
    """Write the page, whole or not at all. Raises OutputError."""
    with whole_file(path, "--out") as temporary:
        temporary.write_text(text, encoding="utf-8")
