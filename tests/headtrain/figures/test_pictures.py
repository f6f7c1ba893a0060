"""Pictures at print resolution, in each format."""

import pytest
from PIL import Image

from headtrain.figures import pictures
from headtrain.figures.pictures import new_figure, save

pytest.importorskip("matplotlib")


def test_a_png_has_300_dots_an_inch_and_says_so(tmp_path):
    save(new_figure(2, 1), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (600, 300)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_very_long_png_has_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 400)
    save(new_figure(1, 4), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (100, 400)


@pytest.mark.parametrize(("name", "begins"), [("a.svg", b"<?xml"), ("a.PDF", b"%PDF-")])
def test_drawings_that_scale(tmp_path, name, begins):
    save(new_figure(2, 1), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)
