"""A run that was killed or finished goes on with other numbers of epochs and patience."""

import pytest
import torch

from amnet_common.errors import RunError
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import BEST, LAST, load_head
from headtrain.runs.documents import Result, read_begun, read_result
from headtrain.runs.folder import CONFIG, RESULT, STATE, TEST
from headtrain.settings.config_file import read_config, to_toml
from headtrain.settings.configuration import override
from headtrain.training import going_on
from headtrain.training.loop import train
from headtrain.training.planned import Setup


@pytest.fixture
def run(make_learnable, tmp_path):
    """run(config, name, ...) -> the epochs that it trains, at most so many, and the result at its end."""
    collection = make_learnable()
    subsets = split_subsets(collection, 1, 0, allow_missing=False)

    def go(config, name, most=None, **setup):
        steps, seen = train(Setup(collection, subsets, 1, **setup), config, tmp_path / name), []
        while len(seen) != most:
            try:
                seen.append(next(steps).epoch)
            except StopIteration as stop:
                return seen, stop.value
        steps.close()
        return seen, None

    return go


AGAIN = {"resume": True, "other_lengths": True}


@pytest.fixture
def config(small):
    return override(small, feature_dropout=0.4, weight_average=0.9, epochs=3, patience=9)


def assert_same_weights(a, b):
    for name in (BEST, LAST):
        found, wanted = load_head(a / name).state_dict(), load_head(b / name).state_dict()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("schedule", ["constant", "step"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_goes_on_is_the_run_that_was_begun_so(run, config, tmp_path, schedule, finished):
    config = override(config, lr_schedule=schedule, lr_step=2)
    longer = override(config, epochs=5, patience=8)
    run(longer, "whole")
    run(config, "r", None if finished else 2, keep_state=finished)
    assert (tmp_path / "r" / STATE).exists()
    seen, result = run(longer, "r", **AGAIN)
    assert seen == ([4, 5] if finished else [3, 4, 5])
    assert isinstance(result, Result)
    assert result.epochs == 5
    assert_same_weights(tmp_path / "r", tmp_path / "whole")
    assert (tmp_path / "r" / TEST).read_text() == (tmp_path / "whole" / TEST).read_text()
    assert read_begun(tmp_path / "r").config == longer
    assert (tmp_path / "r" / CONFIG).read_text() == to_toml(longer)
    assert (tmp_path / "r" / STATE).exists() == finished  # whose run.json says that it is to be kept
    assert load_head(tmp_path / "r").provenance.config == longer


def test_a_run_can_be_told_to_end_sooner(run, config):
    run(config, "r", 1)
    seen, result = run(override(config, epochs=2), "r", **AGAIN)
    assert (seen, result.epochs) == ([2], 2)


def test_what_cannot_go_on_is_refused_with_its_reason_and_left_as_it_was(run, config, tmp_path):
    run(config, "gone")
    run(config, "kept", keep_state=True)
    run(override(config, lr_schedule="cosine"), "cosine", 1)
    run(override(config, patience=1, epochs=30, learning_rate=1e-30), "patient", keep_state=True)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*") if path.is_file()}
    longer = override(config, epochs=5)
    refused = [
        ("gone", longer, r"gone is finished and has kept no state to go on from \(train --keep-state keeps it\); train "
                         r"anew with --epochs 5 and another --out"),
        ("kept", override(config, epochs=2), r"expected --epochs of 3 or more, as .*kept has trained so many, found 2"),
        ("cosine", override(longer, lr_schedule="cosine"), r"begun with --epochs 3, found 5: the rates of "
                                                           r"--lr-schedule cosine depend on that"),
        ("kept", override(longer, learning_rate=1e-9), r"kept is another run: config\.training\.learning_rate"),
    ]  # fmt: skip
    for name, asked, message in refused:
        with pytest.raises(RunError, match=message):
            run(asked, name, **AGAIN)
    with pytest.raises(RunError, match=r"is another run: config\.training\.epochs: expected 3, found 5"):
        run(longer, "kept", resume=True)  # of a sweep, whose heads are compared with each other
    assert {path: path.read_bytes() for path in before} == before


def test_patience_that_is_out_is_named(run, config, tmp_path):
    patient = override(config, patience=1, epochs=30)
    _, result = run(patient, "r", keep_state=True)
    assert result.epochs < 30
    with pytest.raises(RunError, match=r"r ended by its patience: its best epoch is .*give --patience of more than 1"):
        run(override(patient, epochs=40), "r", **AGAIN)
    assert (tmp_path / "r" / RESULT).exists()
    seen, _ = run(override(patient, patience=2), "r", **AGAIN)
    assert seen[0] == result.epochs + 1


@pytest.mark.parametrize("writer", ["write_json", "write_text"])
def test_a_kill_on_the_way_leaves_a_run_that_goes_on(run, config, tmp_path, monkeypatch, writer):
    run(config, "r", keep_state=True)
    longer = override(config, epochs=5)
    with monkeypatch.context() as patch:
        patch.setattr(going_on, writer, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(longer, "r", **AGAIN)
    assert not (tmp_path / "r" / RESULT).exists()  # it is unfinished, whatever its files say of its length
    seen, result = run(longer, "r", **AGAIN)
    assert (seen, result.epochs, read_result(tmp_path / "r").epochs) == ([4, 5], 5, 5)
    assert (tmp_path / "r" / CONFIG).read_text() == to_toml(longer)


def test_a_kept_state_stays_when_a_finished_run_is_only_asked_for_again(run, config, tmp_path):
    run(config, "r", keep_state=True)
    assert run(config, "r", **AGAIN)[0] == []
    assert (tmp_path / "r" / STATE).exists()
    assert read_config(tmp_path / "r" / CONFIG)[0] == config.preset
