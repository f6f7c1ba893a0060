"""What stands in the folder of a planned run decides what is to do, before anything is made."""

from dataclasses import replace

import pytest

from amnet_common.errors import ConfigError, OutputError, RunError
from headtrain.features.splits import split_subsets
from headtrain.settings.configuration import override
from headtrain.training.loop import train, train_together
from headtrain.training.planned import PlannedRun, Setup, Standing, standings


@pytest.fixture
def setup(make_learnable):
    collection = make_learnable()
    return Setup(collection, split_subsets(collection, 1, 0, allow_missing=False), 1)


@pytest.fixture
def begun(setup, small, tmp_path):
    """A run that was stopped after its first epoch."""
    epochs = train(setup, small, tmp_path / "begun")
    next(epochs)
    epochs.close()
    return PlannedRun(small, tmp_path / "begun")


def test_absent_unfinished_and_finished_runs_are_told_apart(setup, begun, small, tmp_path):
    list(train(setup, small, tmp_path / "done"))
    planned = [PlannedRun(small, tmp_path / "new"), begun, PlannedRun(small, tmp_path / "done")]
    found = standings(replace(setup, resume=True), planned)
    assert found == [Standing.ABSENT, Standing.UNFINISHED, Standing.FINISHED]


def test_an_existing_folder_is_refused_without_resume(setup, begun):
    with pytest.raises(OutputError, match=r"expected a new folder, found one that exists; .*--resume"):
        standings(setup, [begun])


def test_another_run_is_not_resumed_and_each_difference_is_named(setup, begun):
    other = begun._replace(config=override(begun.config, learning_rate=0.5, seed=3))
    message = r"is another run: config\.training\.learning_rate: .*; config\.training\.seed: expected 0, found 3"
    with pytest.raises(RunError, match=message):
        standings(replace(setup, resume=True), [other])


@pytest.mark.parametrize(("change", "message"), [
    ({"eval_view": 2}, r"--eval-view: expected a view in 0\.\.1"), ({"augs": 2}, "--augs: expected at most the 1"),
])  # fmt: skip
def test_views_that_the_collection_has_not_are_refused(setup, small, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        standings(setup, [PlannedRun(override(small, **change), tmp_path / "new")])


def test_nothing_is_made_if_one_of_several_runs_is_refused(setup, begun, small, tmp_path):
    planned = [PlannedRun(override(small, seed=1), tmp_path / "new"), begun]
    with pytest.raises(OutputError):
        next(train_together(setup, planned))
    assert not (tmp_path / "new").exists()
