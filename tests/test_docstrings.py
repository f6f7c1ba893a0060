"""Public docstrings begin with a verb, and their first sentence ends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("amnet", "amnet_common", "extract", "headtrain")
VERBS = """
    Accept Add Apply Average Be Begin Bring Build Carry Check Choose Close Collect Compare Compile Compute Connect
    Convert Copy Count Create Cut Decide Declare Decode Describe Draw Encode Erase Estimate Extract Fill Find Fit
    Fold Give Group Hold Ignore Import Join Keep Lay Let List Load Lock Look Make Mark Match Measure Merge Move Name
    Normalise Note Open Overwrite Parse Predict Print Provide Prune Publish Put Raise Read Recompute Refuse Remember
    Remove Rename Replace Report Resize Return Run Save Say Scale Score Send Serialise Serve Set Show Sort Stack
    Standardise Store Take Tell Test Train Turn Wait Write Yield
"""  # another verb may be added


def public(path: Path) -> Iterator[tuple[str, str]]:
    """Name and docstring of each public class and function that has one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or re.match("_[^_]", node.name):
            continue
        if text := ast.get_docstring(node):
            yield f"{path.name}:{node.lineno} {node.name}", text


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_are_sentences_that_begin_with_a_verb(package):
    found = dict(pair for path in sorted((ROOT / package).rglob("*.py")) for pair in public(path))
    assert found
    assert {name: text for name, text in found.items() if text.split()[0].rstrip(",") not in VERBS.split()} == {}
    assert {name: text for name, text in found.items() if not text.split("\n\n")[0].endswith((".", ":"))} == {}
