"""The events hold the log, each epoch once, however often a run was stopped."""

import math
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.errors import AmnetError, ExtraError
from headtrain.cli import main
from headtrain.features.splits import split_subsets
from headtrain.runs.documents import read_begun
from headtrain.runs.log import Epoch, read_log
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import override
from headtrain.training.loop import train
from headtrain.training.planned import Setup
from headtrain.training.tensorboard import EVENTS, EventLog, require_tensorboard

FIELDS = {"loss/train_squared_error": "squared_error", "loss/penalty": "penalty", "val/rho": "val_rho",
          "val/mse": "val_mse", "time/epoch_seconds": "seconds"}  # fmt: skip


def epochs(count):
    return [Epoch(n, 0.1 / n, 190 + n, 0.3 + n / 100, 0.02 / n, 30.0 + n, True, True) for n in range(1, count + 1)]


def opened(run, **options):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / EVENTS), size_guidance={"scalars": 0}, **options)


def scalars(accumulator):
    """{tag: [(step, value), ...]} as TensorBoard reads them now."""
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def wanted(log):
    """The same of a log; events have single precision."""
    return {tag: [(e.epoch, float(np.float32(getattr(e, field)))) for e in log] for tag, field in FIELDS.items()}


def write(run, *logs):
    """What one process writes: the growing log, and then it ends."""
    events = EventLog(run)
    for log in logs:
        events.write(log)
    events.close()


def test_events_are_those_of_the_log(tmp_path):
    write(tmp_path, *(epochs(n) for n in (1, 2, 3)))
    assert scalars(opened(tmp_path)) == wanted(epochs(3))


def test_events_are_on_the_disk_while_the_training_goes_on(tmp_path):
    events, reader = EventLog(tmp_path), opened(tmp_path)
    for count in (1, 2):
        events.write(epochs(count))
        assert scalars(reader) == wanted(epochs(count))
    events.close()


def test_a_log_that_has_not_grown_adds_nothing(tmp_path):
    write(tmp_path, epochs(2), epochs(2), epochs(2))
    assert scalars(opened(tmp_path)) == wanted(epochs(2))


@pytest.mark.parametrize("seen", [0, 2, 3, 5], ids=lambda seen: f"{seen} epochs had events")
def test_a_resumed_run_has_every_epoch_once(tmp_path, seen):
    before = [replace(epoch, squared_error=9.0) for epoch in epochs(seen)]
    write(tmp_path, before)  # killed before or after epoch 3 was on the disk
    write(tmp_path, epochs(3), epochs(4))
    assert scalars(opened(tmp_path)) == wanted(epochs(4))
    assert scalars(opened(tmp_path, purge_orphaned_data=False)) == wanted(epochs(4))  # readers that know no purge


def test_a_tensorboard_that_runs_meanwhile_drops_what_is_written_anew(tmp_path):
    write(tmp_path, epochs(5))
    reader = opened(tmp_path)
    assert scalars(reader) == wanted(epochs(5))
    time.sleep(1.1)  # event files are named by the second, and read in the order of their names
    write(tmp_path, epochs(3), epochs(4))
    assert scalars(reader) == wanted(epochs(4))


def test_an_undefined_rho_stays_undefined(tmp_path):
    write(tmp_path, [replace(epochs(1)[0], val_rho=math.nan)])
    ((step, value),) = scalars(opened(tmp_path))["val/rho"]
    assert step == 1
    assert math.isnan(value)


def test_files_of_others_stay(tmp_path):
    (tmp_path / EVENTS).mkdir()
    (tmp_path / EVENTS / "notes.txt").touch()
    write(tmp_path, epochs(1))
    assert (tmp_path / EVENTS / "notes.txt").exists()


def test_where_tensorboard_is_installed_nothing_is_required():
    require_tensorboard()


def test_without_tensorboard_the_extra_is_named_before_anything_is_touched(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    for call in (require_tensorboard, lambda: EventLog(tmp_path)):
        with pytest.raises(ExtraError, match=r"expected tensorboard, found none; pip install 'amnet\[tensorboard\]'"):
            call()
    assert issubclass(ExtraError, AmnetError)
    assert not (tmp_path / EVENTS).exists()


def test_a_training_with_events_has_each_epoch_once_after_a_resume(make_learnable, small, tmp_path):
    collection, config = make_learnable(), override(small, attention=False)
    toml = tmp_path / "c.toml"
    toml.write_text(to_toml(config))
    words = ["train", "--features", collection.path, "--config", toml, "--out", tmp_path / "r", "--device", "cpu"]
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    begun = train(Setup(collection, subsets, 1), config, tmp_path / "r")
    next(begun)
    begun.close()
    result = CliRunner().invoke(main, [str(word) for word in [*words, "--resume", "--tensorboard"]])
    assert result.exit_code == 0, result.output
    log = read_log(tmp_path / "r")
    assert len(log) == 3
    assert scalars(opened(tmp_path / "r")) == wanted(log)
    assert read_begun(tmp_path / "r").precision == "float32"  # as begun, whatever this machine would take
    assert "training in float32" in result.output
