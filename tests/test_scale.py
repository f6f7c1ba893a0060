"""The tables of docs/scale.md are what the script prints, and its arithmetic is right."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scale():
    place = importlib.util.spec_from_file_location("scale", ROOT / "benchmarks/scale.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_page_has_the_tables_that_the_script_prints(scale):
    assert scale.tables() in (ROOT / "docs/scale.md").read_text()


def test_lamem_with_ten_crops_is_259_gigabytes(scale):
    lamem = scale.LIBRARIES[0]
    assert scale.feature_bytes(lamem, "float16") == 58_741 * 11 * 401_408
    assert scale.size(scale.feature_bytes(lamem, "float16")) == "259 GB"


def test_the_slowest_stage_is_the_limit(scale):
    million = scale.Library("million", 10**6, 1)
    assert scale.extraction(million, "one card", "uint8") == (pytest.approx(200_704 * 10**6 / 0.6e9), "disk")
    assert scale.extraction(million, "eight cards", "float16")[1] == "disk"
