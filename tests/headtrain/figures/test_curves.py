"""The picture of a training shows the log: lines, marks, names, and what is refused."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.files import write_json
from headtrain.cli import main
from headtrain.figures.curves import PANELS, Curve, curves_of, draw_curves, figure_of
from headtrain.runs.folder import LOG
from headtrain.runs.log import Epoch, read_log, write_log
from headtrain.settings.presets import PAPER

LABELS = {"squared_error": "squared error (training scale)", "val_mse": "MSE (data's scale)",
          "penalty": "attention penalty (before λ)", "val_rho": "Spearman's rho"}  # fmt: skip


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def make_log(tmp_path):
    """make(rhos, mses, name="r") -> a run folder whose log has these, flagged as a training flags them."""

    def make(rhos, mses, name="r"):
        run, epochs, top, least = tmp_path / name, [], -math.inf, math.inf
        run.mkdir(parents=True)
        for number, (rho, mse) in enumerate(zip(rhos, mses, strict=True), 1):
            values = (0.1 / number, 190 + number / 1000, rho, mse, 30.0)
            rank = -2.0 if math.isnan(rho) else rho
            epochs.append(Epoch(number, *values, best=rank > top, lowest_mse=mse < least))
            top, least = max(top, rank), min(least, mse)
        write_log(run, epochs)
        return run

    return make


@pytest.fixture
def run(make_log):
    """Highest rho in epoch 4, lowest MSE in epoch 3; each was best before in another."""
    return make_log([0.3, 0.2, 0.4, 0.5, 0.45], [0.03, 0.025, 0.01, 0.02, 0.015])


@pytest.fixture
def splits(make_log, tmp_path):
    """Splits 1, 2 and 10, of which 2 has just begun; split 3 has no epoch, and a stray file no number."""
    for number, rhos in ((10, [0.1, 0.2]), (1, [0.5, 0.4]), (2, [0.3])):
        make_log(rhos, [0.02] * len(rhos), f"all/split-{number}")
    (tmp_path / "all" / "split-3").mkdir()
    (tmp_path / "all" / "split-old").touch()
    return tmp_path / "all"


def panels(figure):
    """The axes by the field that they show."""
    names = {label: name for name, label in LABELS.items()}
    return {names[axes.get_ylabel()]: axes for axes in figure.axes}


def points(axes, label):
    """(n, 2) what is drawn under a name."""
    (line,) = [line for line in axes.get_lines() if line.get_label().split(":")[0] == label]
    return line.get_xydata().tolist()


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_log_is_read_as_it_was_written(make_log):
    run = make_log([math.nan, 0.1 + 0.2], [1e-17, 1 / 3])
    first, second = read_log(run)
    assert math.isnan(first.val_rho)
    assert asdict(first) | {"val_rho": 0} == asdict(Epoch(1, 0.1, 190.001, 0, 1e-17, 30.0, True, True))
    assert second == Epoch(2, 0.05, 190.002, 0.1 + 0.2, 1 / 3, 30.0, True, False)


def test_every_panel_shows_its_column_of_the_log(run):
    found = panels(figure_of(curves_of(run), "r"))
    assert found.keys() == PANELS.keys()
    for name, axes in found.items():
        wanted = [[epoch.epoch, getattr(epoch, name)] for epoch in read_log(run)]
        assert axes.get_lines()[0].get_xydata().tolist() == wanted


def test_the_highest_rho_and_the_lowest_mse_are_marked_in_every_panel(run):
    figure, epochs = figure_of(curves_of(run), "r"), read_log(run)
    for name, axes in panels(figure).items():
        assert points(axes, "highest rho") == [[4, getattr(epochs[3], name)]]
        assert points(axes, "lowest MSE") == [[3, getattr(epochs[2], name)]]
    assert legend(figure) == ["highest rho: 0.5000, epoch 4", "lowest MSE: 0.01000, epoch 3"]


def test_splits_share_the_panels_in_the_order_of_their_numbers(splits):
    figure = figure_of(curves_of(splits), "all")
    assert legend(figure) == ["split-1", "split-2", "split-10", "lowest MSE", "highest rho"]
    found = panels(figure)
    assert points(found["val_rho"], "split-10") == [[1, 0.1], [2, 0.2]]
    assert points(found["val_rho"], "highest rho") == [[1, 0.5], [1, 0.3], [2, 0.2]]
    assert points(found["val_mse"], "lowest MSE") == [[1, 0.02]] * 3


def test_curves_differ_without_colour():
    epochs = [Epoch(1, 1.0, 1.0, 0.5, 0.1, 1.0, True, True)]
    axes = panels(figure_of([Curve(Path(str(k)), epochs) for k in range(25)], ""))["val_rho"]
    styles = {(line.get_linestyle(), line._unscaled_dash_pattern, line.get_marker()) for line in axes.get_lines()[:25]}
    assert len({str(style) for style in styles}) == 25


def test_a_rho_that_is_undefined_in_every_epoch_has_no_mark(make_log):
    figure = figure_of(curves_of(make_log([math.nan] * 2, [0.02, 0.01])), "r")
    assert points(panels(figure)["val_rho"], "highest rho") == []
    assert legend(figure) == ["highest rho", "lowest MSE: 0.01000, epoch 2"]


def test_epochs_chosen_on_the_test_list_are_not_called_validation(run):
    titles = [axes.get_title() for axes in figure_of(curves_of(run), "r").axes[:2]]
    begun = {"config": PAPER.as_dict(), "selected_on": "test_1, which makes the result optimistic"}  # of any version
    write_json(run / "run.json", begun)
    optimistic = [axes.get_title() for axes in figure_of(curves_of(run), "r").axes[:2]]
    assert titles == ["Training", "Validation"]
    assert optimistic == ["Training", "Test list (it chose the epochs: optimistic)"]


def test_the_picture_of_an_unfinished_run_stands_in_its_folder(make_log):
    run = make_log([0.3], [0.02], "a/$x_$1")  # one epoch; a name that is no formula
    result = amnet_head("curves", run)
    assert (result.exit_code, result.stdout) == (0, f"{run / 'curves.png'}\n"), result.output
    with Image.open(run / "curves.png") as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("L")))) > 2
    assert sorted(path.name for path in run.iterdir()) == ["curves.png", LOG]


def test_a_vector_drawing_is_made_by_the_file_ending_and_replaces_an_older_one(splits, tmp_path):
    out = tmp_path / "c.SVG"
    for words in ((), ("--overwrite",)):
        assert amnet_head("curves", splits, "--out", out, *words).exit_code == 0
    assert ElementTree.parse(out).getroot().tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(("out", "message"), [
    ("c.gif", "c.gif: expected a file ending in .png or .svg, found .gif"),
    ("c", "c: expected a file ending in .png or .svg, found none"),
    ("no/c.png", "no/c.png: expected an existing folder, found no "),
])  # fmt: skip
def test_a_picture_that_cannot_be_written_ends_with_one_line_and_status_2(run, tmp_path, out, message):
    result = amnet_head("curves", run, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


@pytest.mark.parametrize(("text", "message"), [
    (None, "r: expected a run with log.csv, which has a line after the first epoch, or a folder of split-1"),
    ("epoch,squared_error\n1,0.5\n", "log.csv: expected a log as amnet-head train writes it, found no 'penalty'"),
    ("epoch\nmuch\n", "found invalid literal for int() with base 10: 'much'"),
    ("epoch\n", "log.csv: expected a line for each epoch, found none"),
])  # fmt: skip
def test_a_log_that_cannot_be_drawn_is_named_in_one_line(run, text, message):
    (run / LOG).unlink() if text is None else (run / LOG).write_text(text)
    result = amnet_head("curves", run)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_without_matplotlib_one_line_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = amnet_head("curves", run)
    assert result.exit_code == 2
    assert result.stderr == "main curves: expected matplotlib, found none; pip install 'amnet[figures]'\n"
    assert not (run / "curves.png").exists()


def test_drawing_leaves_no_window_system_and_no_setting_behind(run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_curves(run, run / "c.png")
    assert dict(matplotlib.rcParams) == before
