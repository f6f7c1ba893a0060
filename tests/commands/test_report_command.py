"""`amnet-head report` as a user types it."""

import json
import re

import pytest
from click.testing import CliRunner

from headtrain.cli import main


@pytest.fixture
def report(trained, tmp_path):
    """report(words) -> click's result; the page is r.html."""
    words = ("report", trained / "run", "--features", trained / "f.h5", "--out", tmp_path / "r.html")
    return lambda *more: CliRunner().invoke(main, [str(word) for word in (*words, *more)])


def contents(path):
    return json.loads(re.search(r'id="contents">(.*?)</script>', path.read_text(encoding="utf-8")).group(1))


def test_the_page_holds_each_test_image_with_what_the_head_saw(report, tmp_path):
    result = report()
    assert result.exit_code == 0, result.output
    found = contents(tmp_path / "r.html")
    (run,) = found["runs"]
    assert sorted(image["id"] for image in found["images"]) == ["6.png", "7.png"]
    assert len(run["points"]) == 2
    for card in run["gallery"]:
        assert len(card["maps"]) == 3
        assert all(peak >= 1 for peak in card["peaks"])
        assert all(0 < entropy < 1.001 for entropy in card["entropies"])
        assert sum(card["steps"]) == pytest.approx(card["predicted"], abs=1e-5)
        assert card["box"] == pytest.approx([1 / 16, 5 / 24, 7 / 8, 7 / 12, 0], abs=0.01)  # 224 of 256, of 60 x 90
    assert run["curves"][0]["epochs"][0]["epoch"] == 1
    assert next(one for one in run["settings"] if one["name"] == "hidden")["mark"] == "**"


def test_several_runs_are_compared(report, trained, tmp_path):
    result = report(trained / "run")
    assert result.exit_code == 0, result.output
    found = contents(tmp_path / "r.html")
    assert len(found["runs"]) == 2
    assert found["comparisons"][0]["difference"] == 0


def test_without_the_image_files_the_page_has_no_pictures_and_says_so(report, tmp_path):
    (tmp_path / "empty").mkdir()
    result = report("--images", tmp_path / "empty")
    assert result.exit_code == 0, result.output
    assert "2 of 2 pictures are not shown: missing file" in result.stderr
    assert contents(tmp_path / "r.html")["missing"] == 2


def test_the_page_of_a_real_run_opens_without_a_complaint(report, tmp_path, open_page):
    report()
    page = open_page(tmp_path / "r.html")
    page.locator("#cards canvas[data-step='1']").first.wait_for()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "none: expected a finished run with test.csv"),
        (("--images", "nowhere"), "--images nowhere: expected a folder, found none"),
        (("--out", "nowhere/r.html"), "--out nowhere/r.html: expected an existing folder"),
    ],
)
def test_bad_input_is_one_line_and_no_page_is_left(report, tmp_path, words, message):
    result = report(*words)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "r.html").exists()


def test_a_run_on_other_images_is_named(report, features, tmp_path):
    words = ("--features", features, "--out", tmp_path / "other", "--hidden", 8, "--epochs", 1, "--device", "cpu")
    assert CliRunner().invoke(main, ["train", *map(str, words)]).exit_code == 0
    result = report(tmp_path / "other")
    assert result.exit_code == 2
    assert "other: expected test images of" in result.stderr.splitlines()[-1]
