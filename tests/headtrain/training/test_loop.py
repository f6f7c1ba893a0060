"""Training on a small collection whose scores stand in the features."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from amnet_common.errors import CollectionError, MissingRowsError, OutputError
from headtrain.compute.bank.bank import Bank
from headtrain.compute.kernels import EAGER, forward_of
from headtrain.evaluation.metrics import evaluate
from headtrain.features.splits import split_subsets
from headtrain.features.statistics import channel_statistics
from headtrain.heads.checkpoint import load_head, read_provenance
from headtrain.heads.paper import PaperHead
from headtrain.settings.configuration import override
from headtrain.training.epoch import epoch_keys
from headtrain.training.loop import train
from headtrain.training.losses import Penalties
from headtrain.training.member import build_head
from headtrain.training.planned import Setup
from headtrain.training.step import backward


def run_training(collection, config, run: Path):
    """All epochs and the result."""
    setup = Setup(collection, split_subsets(collection, 1, 0, allow_missing=True), 1)
    epochs, steps = [], train(setup, config, run)
    while True:
        try:
            epochs.append(next(steps))
        except StopIteration as stop:
            return epochs, stop.value


def test_a_head_learns_what_stands_in_the_features(make_learnable, small, tmp_path):
    _, result = run_training(make_learnable(), override(small, epochs=6), tmp_path / "run")
    assert result.test.rho > 0.9


def test_the_reported_test_metrics_are_those_of_the_best_checkpoint(make_learnable, small, tmp_path, scores):
    collection = make_learnable()
    epochs, result = run_training(collection, small, tmp_path / "run")
    predicted = load_head(tmp_path / "run").predict(collection.read(np.arange(32, 40))).score
    assert result.test == evaluate(predicted.numpy(), scores[32:])
    assert result.best.val_rho == max(epoch.val_rho for epoch in epochs)
    assert read_provenance(tmp_path / "run" / "best.safetensors").epoch == result.best.epoch


def test_training_stops_when_patience_is_out(make_learnable, small, tmp_path):
    config = override(small, epochs=60, patience=2)
    epochs, result = run_training(make_learnable(), config, tmp_path / "run")
    assert len(epochs) == result.best.epoch + 2 < 60


def test_the_run_folder_holds_log_and_metrics(make_learnable, small, tmp_path):
    epochs, result = run_training(make_learnable(), small, tmp_path / "run")
    with open(tmp_path / "run" / "log.csv", newline="") as file:
        assert [float(line["val_rho"]) for line in csv.DictReader(file)] == [epoch.val_rho for epoch in epochs]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["rho"] == result.test.rho
    assert metrics["images"] == {"train": 24, "val": 8, "test": 8}


def test_the_same_seed_gives_the_same_weights(make_learnable, small, tmp_path):
    collection, config = make_learnable(), override(small, feature_dropout=0.5, epochs=2)
    for name in ("a", "b"):
        run_training(collection, config, tmp_path / name)
    a, b = (load_head(tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_training_leaves_the_callers_generator_alone(make_learnable, small, tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    run_training(make_learnable(), override(small, epochs=1), tmp_path / "run")
    assert torch.equal(torch.rand(1), wanted)


def test_gradients_added_up_in_chunks_are_those_of_the_whole_batch_also_with_dropout(tiny):
    shares = {f"{part}_dropout": 0.5 for part in ("feature", "attention", "regress")}
    config = override(tiny, locations=196, feature_dropout_unit="value", **shares)
    x, y = torch.rand(7, 14, 14, 5), torch.rand(7)
    gradients = []
    for chunk in (3, 100):
        torch.manual_seed(0)
        head = PaperHead(config.head).train()
        torch.nn.init.normal_(head.regress.out.weight)
        bank = Bank([head])
        keys = epoch_keys([config.training], 1, 1, len(bank.places(3)))[0]
        penalties = Penalties([config.training], "cpu")
        backward(forward_of(bank, EAGER, chunk), x, None, y.unsqueeze(0), penalties, keys, chunk)
        gradients.append([parameter.grad for parameter in head.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_targets_of_a_new_head_lie_within_one_of_zero(make_learnable, small):
    collection = make_learnable()
    part = split_subsets(collection, 1, 0, allow_missing=False).train
    head = build_head(part.scores, small, channel_statistics(collection, part.rows))
    targets = (part.scores - head.target_mean.item()) * head.target_scale.item()
    assert np.abs(targets).max() == pytest.approx(1)
    assert targets.mean() == pytest.approx(0, abs=1e-6)


def test_channel_statistics_are_those_of_view_0_of_the_training_images(make_learnable):
    collection, rows = make_learnable(), np.arange(24)
    x = collection.read(rows).astype(np.float64).reshape(-1, 1024)
    mean, std = channel_statistics(collection, rows)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9)
    np.testing.assert_allclose(std, x.std(0), rtol=1e-7)


def test_images_without_features_are_refused_and_counted(make_learnable):
    collection = make_learnable(done=range(38))
    with pytest.raises(MissingRowsError, match="features of all 40 images of the split, found 0 failed and 2 pending"):
        split_subsets(collection, 1, 0, allow_missing=False)


def test_images_without_features_can_be_left_out(make_learnable):
    subsets = split_subsets(make_learnable(done=range(38)), 1, 0, allow_missing=True)
    assert (len(subsets.test.rows), subsets.test.left_out) == (6, 2)


def test_a_split_that_is_not_there_is_named(make_learnable):
    with pytest.raises(CollectionError, match="expected split list 'train_7'"):
        split_subsets(make_learnable(), 7, 0, allow_missing=False)


def test_without_validation_list_a_seeded_tenth_of_the_training_list_is_held_back(make_learnable):
    collection = make_learnable(lists={"train_1": range(30), "test_1": range(30, 40)})
    subsets, again = (split_subsets(collection, 1, 0, allow_missing=False) for _ in range(2))
    assert len(subsets.val.rows) == 3
    assert sorted([*subsets.train.rows, *subsets.val.rows]) == list(range(30))
    assert np.array_equal(subsets.val.rows, again.val.rows)


def test_an_existing_run_is_not_overwritten(make_learnable, small, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(OutputError, match="run: expected a new folder"):
        run_training(make_learnable(), small, tmp_path / "run")
