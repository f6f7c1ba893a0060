"""`--no-test`: the test list stays closed until `amnet-head test RUN` opens it, once."""

import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.datasets import SplitList
from headtrain.cli import main
from headtrain.training import outcome

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 2, "--device", "cpu", "--no-compile")


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def figures(run):
    found = json.loads((run / "metrics.json").read_text())
    seconds = [found, found["best"], found["lowest_mse"]]
    return [one.pop("seconds") for one in seconds] and found


@pytest.fixture
def untested(features, tmp_path):
    """A run on split 1 without a test."""
    words = ("train", "--features", features, "--no-test", "--out", tmp_path / "r", *SMALL)
    result = amnet_head(*words)
    assert result.exit_code == 0, result.output
    return tmp_path / "r"


def test_a_run_without_a_test_tested_later_is_as_one_tested_at_its_end(features, untested, tmp_path):
    assert amnet_head("train", "--features", features, "--out", tmp_path / "u", *SMALL).exit_code == 0
    before = {path.name: path.read_bytes() for path in untested.iterdir()}
    assert "test.csv" not in before
    assert json.loads(before["metrics.json"])["tested"] is False
    assert json.loads(before["metrics.json"])["test"]["rho"] is None
    result = amnet_head("test", untested, "--device", "cpu", "--scatter", tmp_path / "s.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{untested}: test rho ")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert (untested / "test.csv").read_bytes() == (tmp_path / "u" / "test.csv").read_bytes()
    assert figures(untested) == figures(tmp_path / "u")
    assert {path.name for path in untested.iterdir()} == {path.name for path in (tmp_path / "u").iterdir()}
    assert all((untested / name).read_bytes() == data for name, data in before.items() if name != "metrics.json")


def test_the_test_images_are_not_predicted(features, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "predict_subset", None)
    words = ("--features", features, "--no-test", *SMALL)
    result = amnet_head("train", *words, "--split", "all", "--out", tmp_path / "t")
    assert result.exit_code == 0, result.output
    rhos = [json.loads((tmp_path / f"t/split-{k}/metrics.json").read_text())["best"]["val_rho"] for k in (1, 2)]
    assert f"mean of 2 splits: val rho {np.mean(rhos):.4f}" in result.stdout
    assert f"not tested (amnet-head test {tmp_path}/t/split-1)" in result.stdout
    grid = ("--grid", "lr=1e-3,1e-2")
    assert amnet_head("sweep", *words, *grid, "--halving", 2, "--out", tmp_path / "h").exit_code == 0
    assert not [*tmp_path.rglob("test.csv")]
    statuses = [row["status"] for row in json.loads(amnet_head("runs", tmp_path / "h", "--format", "json").stdout)]
    assert set(statuses) <= {"finished", "pruned"}


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="needs optuna")
def test_a_search_needs_no_test_either(features, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "predict_subset", None)
    words = ("--trials", 2, "--range", "lr=1e-4:1e-2:log", "--split", 1, "--no-test")
    result = amnet_head("sweep", "--features", features, *words, *SMALL, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "hidden" not in result.stderr  # there is nothing to hide
    assert len([*tmp_path.rglob("metrics.json")]) == 2


def test_a_sweep_is_tested_by_one_command_and_only_where_it_has_not_been(features, tmp_path):
    words = ("sweep", "--features", features, "--no-test", "--grid", "lr=1e-3,1e-2", "--out", tmp_path / "s", *SMALL)
    assert amnet_head(*words).exit_code == 0
    one, other = tmp_path / "s" / "lr=0.001,seed=0", tmp_path / "s" / "lr=0.01,seed=0"
    assert amnet_head("test", one / "split-2", "--device", "cpu").exit_code == 0
    stamp = (one / "split-2" / "metrics.json").stat().st_mtime_ns
    result = amnet_head("test", one, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert f"{one}/split-2: has been tested, left as it is" in result.stderr
    assert "mean of 2 splits: test rho" in result.stdout
    assert (one / "split-2" / "metrics.json").stat().st_mtime_ns == stamp
    assert not [*other.rglob("test.csv")]
    refused = amnet_head("test", one, "--device", "cpu")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "expected a run of --no-test, found one that has been tested" in refused.stderr


def test_a_resume_keeps_the_test_list_closed(features, untested):
    for more in ((), ("--no-test",)):
        again = amnet_head("train", "--features", features, "--out", untested, "--resume", "--device", "cpu", *more)
        assert again.exit_code == 0, again.output
        assert f"{untested}: not tested" in again.stdout
    (untested / "metrics.json").unlink()  # as after a kill before the end
    again = amnet_head("train", "--features", features, "--out", untested, "--resume", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert not (untested / "test.csv").exists()


def test_a_kill_between_the_predictions_and_the_figures_leaves_the_run_untested(untested):
    (untested / "test.csv").write_text("id,score,predicted\n")
    assert "found one of --no-test" in amnet_head("table", untested).stderr
    assert amnet_head("test", untested, "--device", "cpu").exit_code == 0
    assert amnet_head("table", untested).exit_code == 0


def test_what_cannot_be_tested_is_named_in_one_line(features, untested, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    relabelled = json.loads((untested / "run.json").read_text()) | {"images": "ab"}
    cases = [
        (("test", empty), "expected a finished run with test.csv"),
        (("test", untested, "--list", "val_1"), "test RUN: expected no --list, as a run is tested on its own list"),
        (("test",), "Missing option '--features'"),
        (("test", "--features", features), "Missing option '--head'"),
        (("compare", untested, tmp_path), "expected a run with a test, found one of --no-test"),
        (("table", untested), f"found one of --no-test; amnet-head test {untested} tests it"),
        (("report", untested, "--features", features, "--out", tmp_path / "p.html"), "found one of --no-test"),
    ]
    for words, message in cases:
        result = amnet_head(*words)
        assert result.exit_code == 2
        assert message in result.stderr.splitlines()[-1]
    (untested / "run.json").write_text(json.dumps(relabelled))
    refused = amnet_head("test", untested)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert f"{untested} is of other features or lists than {features}: images: expected ab" in refused.stderr
    (untested / "metrics.json").unlink()
    assert "expected a finished run, found one that is not" in amnet_head("test", untested).stderr


def test_the_others_stand_in_the_table_and_the_untested_one_is_named(features, untested, tmp_path):
    amnet_head("baseline", "--features", features, "--split", 1, "--out", tmp_path / "b")
    result = amnet_head("table", untested, tmp_path / "b" / "ridge" / "split-1")
    assert result.exit_code == 0, result.output
    assert f"left out: {untested}: expected a run with a test" in result.stderr
    assert "ridge" in result.stdout
    assert "test: none yet (--no-test); epochs chosen on val_1" in amnet_head("show", untested).stdout
    said = amnet_head("evaluate", "--features", features, "--split", 1, "--head", untested, "--out", tmp_path / "e")
    assert said.exit_code == 0, said.output
    assert f"note: {untested} was trained with --no-test, and this reads its test list" in said.stderr
    rows = amnet_head("runs", tmp_path).stdout
    assert "finished" in rows


def test_the_list_that_chooses_epochs_cannot_stay_closed(features, tmp_path):
    words = ("--features", features, "--select-on", "test", "--no-test", *SMALL, "--out", tmp_path / "r")
    for command in ("train", "sweep"):
        result = amnet_head(command, *words)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "--no-test: expected --select-on validation, found test" in result.stderr
    assert not (tmp_path / "r").exists()


def test_validation_images_that_other_splits_test_are_counted_and_told(make_collection, tmp_path):
    scores, orders = np.linspace(0.2, 0.9, 12), (np.arange(12), np.roll(np.arange(12), 4), np.roll(np.arange(12), 7))
    lists = {f"{part}_{k}": rows for k, order in enumerate(orders, 1)
             for part, rows in zip(("train", "val", "test"), np.split(order, (4, 9)), strict=True)}  # fmt: skip
    splits = {name: SplitList(rows, scores[rows]) for name, rows in lists.items()}
    path = make_collection([f"{row:02}.jpg" for row in range(12)], done=range(12), splits=splits)
    words = ("--features", path, "--no-test", "--split", "all", *SMALL)
    trained = amnet_head("train", *words, "--out", tmp_path / "t")
    swept = amnet_head("sweep", *words, "--grid", "lr=1e-3", "--out", tmp_path / "s")
    wanted = [len({*lists[f"val_{k}"]} & {row for j in (1, 2, 3) if j != k for row in lists[f"test_{j}"]})
              for k in (1, 2, 3)]  # fmt: skip
    assert sum(wanted) > 0
    runs = [tmp_path / "t" / f"split-{k}" / "run.json" for k in (1, 2, 3)]
    assert [json.loads(run.read_text())["tested_elsewhere"] for run in runs] == wanted
    for result in (trained, swept):
        assert f"seen test images: {sum(wanted)} images of 3 validation lists stand in another" in result.stderr
