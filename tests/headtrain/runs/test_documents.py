"""What a run says of itself: read back as it was written, and from files of older and newer versions."""

import json
import math
from dataclasses import replace

import pytest

from amnet_common.errors import RunError
from headtrain.evaluation.bootstrap import Interval
from headtrain.evaluation.metrics import METRICS, Metrics
from headtrain.features.splits import split_subsets
from headtrain.runs.documents import Result, read_begun, read_result, write_result
from headtrain.runs.folder import split_folders
from headtrain.runs.log import Epoch
from headtrain.settings.presets import PAPER
from headtrain.training.loop import train
from headtrain.training.planned import Setup

FIRST_VERSION = {
    "preset": "amnet", "split": 2, "test": {"rho": 0.5, "mse": 0.01, "n": 8},
    "best": {"epoch": 3, "squared_error": 0.1, "penalty": 190.0, "val_rho": 0.4, "val_mse": 0.02, "seconds": 2.0,
             "best": True},
    "epochs": 4, "seconds": 9.5, "selected_on": "test_2, which makes the result optimistic",
    "images": {"train": 24, "val": 8, "test": 8}, "left_out": {"train": 0, "val": 0, "test": 0},
    "features": "f.h5", "fingerprint": "ab",
}  # fmt: skip


def stored(run, **changes):
    (run / "metrics.json").write_text(json.dumps(FIRST_VERSION | changes))
    return read_result(run)


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    epoch = Epoch(3, 0.1, 190.0, 0.5, 0.02, 1.5, best=True)
    result = Result(
        tmp_path, 2, Metrics(**dict.fromkeys(METRICS, 0.25), n=8), Interval(0.1, 0.4), epoch, replace(epoch, epoch=4),
        6, 9.5, "amnet", "val_2", images={"train": 3}, features="f.h5", fingerprint="ab", val_rho=0.5, views=(0, 1),
    )  # fmt: skip
    write_result(result)
    assert read_result(tmp_path) == result


def test_figures_that_are_not_defined_are_null_in_the_file_and_nan_when_read(tmp_path):
    write_result(Result(tmp_path, 1, Metrics(n=3), best=Epoch(1)))
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["test"]["rho"] is None
    found = read_result(tmp_path)
    assert math.isnan(found.test.rho)
    assert math.isnan(found.interval.low)
    assert math.isnan(found.best.val_rho)


def test_what_an_older_run_lacks_is_not_defined(tmp_path):
    found = stored(tmp_path)
    assert (found.test.rho, found.test.mse, found.test.n, found.best.val_rho) == (0.5, 0.01, 8, 0.4)
    assert math.isnan(found.test.pearson)
    assert math.isnan(found.interval.high)
    assert found.lowest_mse is None


def test_figures_that_only_a_newer_version_knows_are_passed_over(tmp_path):
    newer = {"test": {"rho": 0.5, "kendall": 0.3}, "best": {"epoch": 3, "val_rho": 0.4, "val_kendall": 0.2}, "more": 1}
    found = stored(tmp_path, **newer)
    assert (found.test.rho, found.best.val_rho) == (0.5, 0.4)


@pytest.mark.parametrize(("said", "optimistic"), [
    ({}, True), ({"selected_on": "val_2"}, False), ({"optimistic": False}, False),
    ({"selected_on": "val_2", "optimistic": True}, True),
])  # fmt: skip
def test_optimistic_is_a_field_and_in_older_files_a_word(tmp_path, said, optimistic):
    assert stored(tmp_path, **said).optimistic is optimistic


@pytest.mark.parametrize("changes", [
    {"test": 3}, {"test": None}, {"split": "one"}, {"interval": [1]}, {"best": {"val_rho": 0.3}}, {"epochs": [1]},
    {"images": 3}, {"test": {"rho": "high"}},
])  # fmt: skip
def test_a_damaged_result_is_named_in_one_line(tmp_path, changes):
    with pytest.raises(RunError, match=r"metrics\.json: expected a file as amnet-head writes it, found ") as raised:
        stored(tmp_path, **changes)
    assert "\n" not in str(raised.value)


def test_a_run_of_before_knew_only_float32(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": PAPER.as_dict(), "split": 1, "selected_on": "val_1"}))
    found = read_begun(tmp_path)
    assert (found.config, found.split, found.precision, found.compiled) == (PAPER, 1, "float32", False)


def test_a_finished_run_of_before_does_not_stop_a_resume(make_learnable, small, tmp_path):
    """As after an update in the middle of a sweep."""
    collection = make_learnable()
    setup = Setup(collection, split_subsets(collection, 1, 0, allow_missing=False), 1)
    list(train(setup, small, tmp_path / "run"))
    path = tmp_path / "run" / "metrics.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"test": {"rho": values["test"]["rho"]}, "interval": [None, None]}))
    with pytest.raises(StopIteration) as ended:
        next(train(replace(setup, resume=True), small, tmp_path / "run"))
    assert ended.value.value.test.rho == values["test"]["rho"]


def test_split_folders_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("split-10", "split-2", "split-1", "split-x", "other"):
        (tmp_path / name).mkdir()
    assert [path.name for path in split_folders(tmp_path)] == ["split-1", "split-2", "split-10"]
