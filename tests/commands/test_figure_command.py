"""`amnet-head figure` as a user types it."""

import pytest
from click.testing import CliRunner
from PIL import Image

from headtrain.cli import main


@pytest.fixture
def invoke():
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run(features, invoke, tmp_path):
    """A run on each of two splits."""
    words = ("--features", features, "--hidden", 8, "--epochs", 1, "--split", "all", "--device", "cpu")
    assert invoke("train", *words, "--out", tmp_path / "run").exit_code == 0
    return tmp_path / "run"


@pytest.mark.parametrize(("name", "part"), [("histogram", ""), ("slope", "split-2"), ("comparison", "")])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_each_figure_is_one_command(invoke, run, tmp_path, name, part, ending):
    out = tmp_path / f"f.{ending}"
    result = invoke("figure", name, run / part, "--out", out)
    assert result.exit_code == 0, result.output
    if ending == "png":
        with Image.open(out) as picture:
            assert picture.width > 500
    else:
        assert out.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("histogram", "none"), "none: expected a finished run with test.csv"),
        (("slope", "none"), "none/run.json: expected a file of a run"),
        (("comparison", "none", "--out", "f.bmp"), "--out f.bmp: expected a file ending in .png or .svg, found .bmp"),
    ],
)
def test_bad_input_is_one_line(invoke, words, message):
    result = invoke("figure", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
