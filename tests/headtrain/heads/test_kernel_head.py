"""Kernel regression as a head: what `baseline` fits is what scores, predicts and stands in ensembles."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from headtrain.cli import main
from headtrain.evaluation.predictions import read_predictions
from headtrain.heads.checkpoint import load_head
from headtrain.scoring.ensemble import load_ensemble, predict_together
from headtrain.scoring.scores import trunk_differences

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 2, "--device", "cpu", "--no-compile")


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def fitted(make_learnable, tmp_path):
    """A collection, and the kernel that was fitted on it."""
    collection = make_learnable()
    result = amnet_head("baseline", "--features", collection.path, "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    return collection, tmp_path / "b" / "moments-kernel" / "split-1"


def test_the_head_predicts_what_the_baseline_was_tested_with(fitted):
    collection, run = fitted
    wanted, rows = read_predictions(run / "test.csv"), collection.split("test_1").rows
    said = predict_together([load_head(run)], collection, rows, range(2))
    assert np.allclose(said.score, wanted.predicted, atol=1e-4)
    assert np.allclose(said.steps.sum(1), said.score)
    assert (said.entropy == 1).all()
    assert np.isnan(said.spread).all()  # over views it says one thing
    assert repr(load_head(run)).endswith("preset kernel, split 1>")


def test_it_scores_all_views_without_being_asked(fitted, tmp_path):
    collection, run = fitted
    result = amnet_head("score", "--features", collection.path, "--head", run, "--out", tmp_path / "s.jsonl")
    assert result.exit_code == 0, result.output
    found = {row["id"]: row["score"] for row in map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())}
    wanted = read_predictions(run / "test.csv")
    assert np.allclose([found[id_] for id_ in wanted.ids], wanted.predicted, atol=1e-4)


def test_another_number_of_views_than_it_was_fitted_on_is_told(fitted, make_collection):
    _, run = fitted
    provenance = load_head(run).provenance
    assert trunk_differences(provenance, Collection(make_collection(views=2))) == []
    (line,) = trunk_differences(provenance, Collection(make_collection(views=3, name="other.h5")))
    assert line.startswith("views: ")


def test_it_stands_beside_heads_with_steps(fitted, tmp_path):
    collection, run = fitted
    assert amnet_head("train", "--features", collection.path, *SMALL, "--out", tmp_path / "r").exit_code == 0
    heads, rows = [*load_ensemble([run, tmp_path / "r"]).values()], np.arange(7)
    both, one, other = (predict_together(some, collection, rows, range(2)) for some in (heads, heads[:1], heads[1:]))
    assert np.allclose(both.score, (one.score + other.score) / 2)
    assert both.steps.shape == (7, 3)
    assert np.allclose(both.steps.sum(1), both.score)


def test_evaluate_repeats_the_test_and_puts_systems_together(fitted, tmp_path):
    collection, run = fitted
    amnet_head("train", "--features", collection.path, *SMALL, "--out", tmp_path / "r")
    (tmp_path / "peer.csv").write_text("id,score\n" + "".join(
        f"{id_},{label}\n" for id_, label in zip(collection.ids, collection.labels, strict=True)))  # fmt: skip
    words = ("evaluate", "--features", collection.path, "--device", "cpu", "--head", run)
    assert amnet_head(*words, "--out", tmp_path / "alone").exit_code == 0
    alone, wanted = (read_predictions(path / "test.csv") for path in (tmp_path / "alone" / "split-1", run))
    assert np.allclose(alone.predicted, wanted.predicted, atol=1e-4)
    words = (*words, "--head", tmp_path / "r", "--scores", tmp_path / "peer.csv")
    result = amnet_head(*words, "--weights", "stacked", "--out", tmp_path / "stack")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "stack" / "split-1" / "metrics.json").read_text())
    assert found["chosen"].startswith("weights stacked: ")
    assert found["chosen"].endswith(f"1.00 {tmp_path}/peer.csv")  # which knows the scores
    assert found["test"]["rho"] == pytest.approx(1)
    refused = amnet_head(*words, "--out", tmp_path / "other")
    assert (refused.exit_code, "unless --weights says how they are put together" in refused.stderr) == (2, True)
    refused = amnet_head(*words[:5], "--head", run, "--weights", "equal", "--out", tmp_path / "other")
    assert "--weights equal: expected two systems or more, found 1" in refused.stderr


def test_a_kernel_is_not_trained(make_learnable, tmp_path):
    (tmp_path / "c.toml").write_text("[head]\narchitecture = 'kernel'\n")
    words = ("--features", make_learnable().path, "--config", tmp_path / "c.toml", "--out", tmp_path / "r")
    result = amnet_head("train", *words)
    message = "--architecture: expected a head that is trained, found kernel; amnet-head baseline fits it"
    assert (result.exit_code, message in result.stderr) == (2, True), result.output
    assert not (tmp_path / "r").exists()


def test_it_gives_no_maps_of_its_own(fitted):
    collection, run = fitted
    out = load_head(run).predict(Collection(collection.path).read_dequantised([0, 1]))
    assert np.allclose(out.attention, 1 / 196)
    assert out.score.shape == (2,)
