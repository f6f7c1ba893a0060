"""`amnet-head` over several splits: training, resuming, baselines, tables, comparisons, show and import."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from amnet_common.collection import Collection
from amnet_common.datasets import SplitList
from headtrain.cli import main
from headtrain.evaluation.predictions import read_predictions
from headtrain.heads.checkpoint import load_head

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--epochs", 2, "--device", "cpu")


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_every_split_is_trained_and_ends_in_one_table(features, tmp_path):
    result = amnet_head("train", "--features", features, "--split", "all", "--out", tmp_path / "r", *SMALL)
    assert result.exit_code == 0, result.output
    rhos = [json.loads((tmp_path / "r" / f"split-{k}" / "metrics.json").read_text())["test"]["rho"] for k in (1, 2)]
    mean = f"test rho {np.mean(rhos):.4f}" if None not in rhos else "test rho nan"
    assert f"mean of 2 splits: {mean}" in result.stdout
    assert "published" not in result.stdout  # LaMem's figures speak of LaMem's images


def test_a_run_chosen_on_the_test_list_is_marked_in_every_table(features, tmp_path):
    words = ("train", "--features", features, "--out", tmp_path / "r", "--select-on", "test", *SMALL)
    assert "which makes the result optimistic" in amnet_head(*words).stderr
    assert "optimistic: epoch chosen on the test list" in amnet_head("table", tmp_path / "r").stdout


def test_a_finished_run_resumed_says_the_same_again(features, tmp_path):
    words = ("train", "--features", features, "--out", tmp_path / "r", *SMALL)
    first = amnet_head(*words)
    again = amnet_head("train", "--features", features, "--out", tmp_path / "r", "--resume", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout


def test_a_run_is_not_resumed_with_other_settings(features, tmp_path):
    amnet_head("train", "--features", features, "--out", tmp_path / "r", *SMALL)
    result = amnet_head("train", "--features", features, "--out", tmp_path / "r", "--resume", "--lr", 0.5)
    assert result.exit_code == 2
    assert "is another run: config.training.learning_rate: expected 0.0003, found 0.5" in result.stderr


def test_options_win_over_the_file_and_the_file_over_the_preset(features, tmp_path):
    (tmp_path / "c.toml").write_text('preset = "paper"\n[head]\nsteps = 2\nhidden = 8\n[training]\nepochs = 9\n')
    words = ("--config", tmp_path / "c.toml", "--epochs", 1, "--device", "cpu", "--out", tmp_path / "r")
    assert amnet_head("train", "--features", features, *words).exit_code == 0
    config = json.loads((tmp_path / "r" / "run.json").read_text())["config"]
    assert (config["preset"], config["head"]["steps"], config["training"]["epochs"]) == ("paper", 2, 1)


def test_show_marks_departures_and_says_what_came_out(features, tmp_path):
    amnet_head("train", "--features", features, "--out", tmp_path / "r", *SMALL, "--steps", 2)
    lines = amnet_head("show", tmp_path / "r").stdout.splitlines()
    marks = {line[3:].split()[0]: line[:2] for line in lines[1:] if line[:2] in ("* ", "**", "  ")}
    assert (marks["steps"], marks["standardise"], marks["penalty"]) == ("**", "* ", "  ")
    assert any(line.startswith("test: rho ") for line in lines)
    assert any(line.startswith("validation, lowest MSE: epoch ") for line in lines)


def test_baselines_stand_in_the_table_and_can_be_compared(features, tmp_path):
    result = amnet_head("baseline", "--features", features, "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert [line.split("|")[1].strip() for line in result.stdout.splitlines()[2:7]] == [
        "constant", "ridge", "kernel ridge", "exponential kernel", "exponential kernel on moments"]  # fmt: skip
    compared = amnet_head("compare", tmp_path / "b" / "ridge", tmp_path / "b" / "ridge")
    assert "rho +0.0000" in compared.stdout
    assert "no difference that these images can show" in compared.stdout


def test_a_run_whose_rho_is_not_defined_is_named_and_not_called_equal(features, tmp_path):
    amnet_head("baseline", "--features", features, "--out", tmp_path / "b")
    result = amnet_head("compare", tmp_path / "b" / "ridge", tmp_path / "b" / "constant")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"{tmp_path}/b/constant: expected a rank correlation on every split, found none on split 1" in result.stderr


def test_runs_of_other_splits_are_not_compared(features, tmp_path):
    amnet_head("baseline", "--features", features, "--out", tmp_path / "b")
    result = amnet_head("compare", tmp_path / "b/ridge/split-1", tmp_path / "b/ridge/split-2")
    assert result.exit_code == 2
    assert "expected the same images in the same order" in result.stderr


@pytest.mark.parametrize(("words", "message"), [
    (("train", "--split", "two"), "--split: expected a number or all, found 'two'"),
    (("train", "--resume"), "--resume: expected --out RUN"),
    (("train", "--eval-view", 5, "--device", "cpu"), "--eval-view: expected a view in 0..1"),
    (("train", "--config", "none.toml"), "--config none.toml: expected a readable TOML file"),
])  # fmt: skip
def test_wrong_use_ends_with_one_line_and_status_2(features, words, message):
    result = amnet_head(words[0], "--features", features, *words[1:])
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_a_folder_without_results_is_named(tmp_path):
    result = amnet_head("table", tmp_path)
    assert result.exit_code == 2
    assert "expected a finished run with test.csv, or a folder of split-1" in result.stderr


def test_a_file_that_is_no_checkpoint_of_the_authors_is_refused_in_one_line(tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "a.pkl")
    result = amnet_head("import", tmp_path / "a.pkl", "--out", tmp_path / "r")
    assert result.exit_code == 2
    assert "expected the parameters of the authors' head: bn1.bias is missing" in result.stderr
    assert not (tmp_path / "r").exists()


def test_an_ensemble_over_all_views_is_the_mean_of_all_scores(features, tmp_path):
    for seed in (1, 2):
        words = ("--split", "all", "--out", tmp_path / f"r{seed}", "--seed", seed, *SMALL)
        amnet_head("train", "--features", features, *words)
    words = ("--head", tmp_path / "r1", "--head", tmp_path / "r2", "--view", "all", "--device", "cpu")
    result = amnet_head("evaluate", "--features", features, *words, "--out", tmp_path / "e")
    assert result.exit_code == 0, result.output
    collection = Collection(features)
    heads = [load_head(tmp_path / f"r{seed}" / "split-2") for seed in (1, 2)]
    rows = [2, 1, 0]  # of test_2
    scores = [head.predict(collection.read(rows, view)).score.numpy() for head in heads for view in (0, 1)]
    found = read_predictions(tmp_path / "e" / "split-2" / "test.csv")
    assert found.ids == tuple(collection.ids[row] for row in rows)
    np.testing.assert_allclose(found.predicted, np.mean(scores, axis=0), rtol=1e-5)


@pytest.fixture
def both(make_collection, features, spec, tmp_path):
    """The words of an evaluation of two heads, each trained on a collection of its own, with a table beside them."""
    collection = Collection(features)
    lists = {name: collection.splits[name] for name in ("train_1", "val_1", "test_1")}
    of = replace(spec, weights_sha256="11" * 32)
    other = make_collection(collection.ids, done=range(12), splits=lists, name="other.h5", of=of)
    for run, own in (("r1", features), ("r2", other)):
        amnet_head("train", "--features", own, "--out", tmp_path / run, *SMALL)
    lines = (f"{id_},{row**5}" for row, id_ in enumerate(collection.ids))
    (tmp_path / "peer.csv").write_text("\n".join(["id,score", *lines]))
    return ("evaluate", "--features", features, "--features", other, "--split", 1, "--device", "cpu",
            "--head", tmp_path / "r1", "--head", tmp_path / "r2")  # fmt: skip


def test_each_head_reads_the_collection_that_it_was_trained_on(both, features, tmp_path):
    result = amnet_head(*both, "--out", tmp_path / "e")
    assert result.exit_code == 0, result.output
    assert f"split 1: {tmp_path}/r2 reads {tmp_path}/other.h5" in result.stderr
    assert "was trained on other features" not in result.stderr
    found = json.loads((tmp_path / "e" / "split-1" / "metrics.json").read_text())
    assert (found["features"], found["other_features"]) == (str(features), [str(tmp_path / "other.h5")])


def test_systems_are_averaged_by_rank_where_that_is_asked_for(both, tmp_path):
    words = (*both, "--scores", tmp_path / "peer.csv")
    said = {}
    for average in ("score", "rank"):
        out = tmp_path / average
        result = amnet_head(*words, "--weights", "validation", "--average", average, "--out", out)
        assert result.exit_code == 0, result.output
        said[average] = (read_predictions(out / "split-1" / "test.csv").predicted, result.stderr)
    assert "weights validation of ranks: " in said["rank"][1]
    assert "weights validation: " in said["score"][1]
    assert not np.allclose(said["rank"][0], said["score"][0])
    refused = amnet_head(*both, "--average", "rank", "--out", tmp_path / "g")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "--average rank: expected --weights beside it" in refused.stderr


def test_a_head_is_not_tested_on_the_list_of_another_split(features, tmp_path):
    amnet_head("train", "--features", features, "--out", tmp_path / "r", *SMALL)
    words = ("--head", tmp_path / "r", "--split", 2, "--device", "cpu", "--out", tmp_path / "e")
    result = amnet_head("evaluate", "--features", features, *words)
    assert result.exit_code == 2
    assert "expected a head of split 2, found one of split 1" in result.stderr


def test_another_systems_scores_are_tested_on_the_same_lists(features, tmp_path):
    collection = Collection(features)
    lines = [f"{id_},{row}" for row, id_ in enumerate(collection.ids)]
    (tmp_path / "peer.csv").write_text("\n".join(["id,score", *lines]))
    words = ("--scores", tmp_path / "peer.csv", "--name", "Peer", "--out", tmp_path / "e")
    result = amnet_head("evaluate", "--features", features, *words)
    assert result.exit_code == 0, result.output
    assert "| Peer" in result.stdout
    assert "1.000 ± 0.000" in result.stdout  # the scores of these images rise with their row


def test_a_table_of_test_images_alone_has_no_validation_rho(features, tmp_path):
    rows = [9, 10, 11]
    (tmp_path / "p.csv").write_text("id;score\n" + "".join(f"{row:02}.jpg;0,{row}\n" for row in rows))
    words = ("--features", features, "--scores", tmp_path / "p.csv", "--split", 1, "--out", tmp_path / "e")
    result = amnet_head("evaluate", *words)
    assert result.exit_code == 0, result.output
    assert "split 1: val rho undefined: the table has not all of these images" in result.stderr
    found = json.loads((tmp_path / "e" / "split-1" / "metrics.json").read_text())
    assert (found.get("val_rho"), found["test"]["n"]) == (None, 3)
    refused = amnet_head("evaluate", *words[:-1], tmp_path / "w", "--scores", features, "--weights", "equal")
    assert (refused.exit_code, (tmp_path / "w").exists()) == (2, False)


def test_the_scores_of_people_are_no_systems(features, tmp_path):
    collection = Collection(features)
    lines = [f"{id_},{score!r}" for id_, score in zip(collection.ids, collection.labels.tolist(), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["id,score", *lines]))
    words = ("--features", features, "--scores", tmp_path / "p.csv", "--split", 1, "--out", tmp_path / "e")
    assert (
        "warning: split 1: the table gives every test image the very score that people gave: these"
        in amnet_head("evaluate", *words).stderr
    )


@pytest.mark.parametrize(("text", "message"), [
    ("id,rating\n", "peer.csv:1: expected columns id,score"),
    ("id,score\n00.jpg,0.5\n00.jpg,0.5\n", "peer.csv:3: expected each image once, found '00.jpg' again"),
    ("id,score\n00.jpg,much\n", "peer.csv:2: expected a number as score, found 'much'"),
    ("id,score\n00.jpg,0.5\n", "expected all 3 images of the list, found 3 missing, such as 06.jpg"),
])  # fmt: skip
def test_what_another_systems_table_gets_wrong_is_named(features, tmp_path, text, message):
    (tmp_path / "peer.csv").write_text(text)
    words = ("--scores", tmp_path / "peer.csv", "--out", tmp_path / "e")
    result = amnet_head("evaluate", "--features", features, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "e").exists()


def test_what_stands_in_the_way_of_a_later_split_is_refused_before_the_first_is_trained(features, tmp_path):
    (tmp_path / "r" / "split-2").mkdir(parents=True)
    result = amnet_head("train", "--features", features, "--split", "all", "--out", tmp_path / "r", *SMALL)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"--out {tmp_path}/r/split-2: expected a new folder, found one that exists" in result.stderr
    assert not (tmp_path / "r" / "split-1").exists()


def test_splits_are_not_trained_into_a_single_run_nor_one_split_into_a_folder_of_them(features, tmp_path):
    words = ("train", "--features", features, *SMALL)
    amnet_head(*words, "--out", tmp_path / "one")
    result = amnet_head(*words, "--split", "all", "--out", tmp_path / "one")
    assert (result.exit_code, [*(tmp_path / "one").glob("split-*")]) == (2, [])
    assert "expected a folder of split-1, split-2 ... for --split all, found a single run" in result.stderr
    amnet_head(*words, "--split", "all", "--out", tmp_path / "all")
    result = amnet_head(*words, "--resume", "--out", tmp_path / "all")
    assert result.exit_code == 2
    assert f"give --split all, or --out {tmp_path}/all/split-1" in result.stderr


def test_an_evaluation_of_a_head_chosen_on_the_test_list_is_marked_everywhere(features, tmp_path):
    amnet_head("train", "--features", features, "--out", tmp_path / "r", "--select-on", "test", *SMALL)
    words = ("--features", features, "--head", tmp_path / "r", "--split", 1, "--device", "cpu", "--out", tmp_path / "e")
    result = amnet_head("evaluate", *words)
    assert result.exit_code == 0, result.output
    assert "optimistic: epoch chosen on the test list" in result.stdout
    assert json.loads((tmp_path / "e" / "split-1" / "metrics.json").read_text())["optimistic"] is True
    compared = amnet_head("compare", tmp_path / "r", tmp_path / "e")
    assert [line.split(" is ")[1] for line in compared.stderr.splitlines()] == [
        "optimistic: epoch chosen on the test list"] * 2  # fmt: skip


@pytest.mark.parametrize(
    ("trained", "seen"), [(("--data-seed", 3), True), (("--select-on", "test"), True), ((), False)]
)
def test_validation_images_that_a_head_was_trained_on_give_no_validation_rho(make_collection, tmp_path, trained, seen):
    scores, rows = np.linspace(0, 1, 24), np.arange(24)
    splits = {"train_1": SplitList(rows[:20], scores[:20]), "test_1": SplitList(rows[20:], scores[20:])}
    features = make_collection(tuple(f"{row:02}.jpg" for row in rows), done=range(24), splits=splits)
    result = amnet_head("train", "--features", features, "--out", tmp_path / "r", *trained, *SMALL)
    assert result.exit_code == 0, result.output
    words = ("--features", features, "--head", tmp_path / "r", "--split", 1, "--device", "cpu", "--out", tmp_path / "e")
    result = amnet_head("evaluate", *words)
    assert result.exit_code == 0, result.output
    assert ("val rho undefined: a head was trained on images of this seeded tenth" in result.stderr) == seen
    assert (json.loads((tmp_path / "e" / "split-1" / "metrics.json").read_text()).get("val_rho") is None) == seen


def test_a_table_names_the_data_wherever_it_is_printed(features, tmp_path, monkeypatch):
    monkeypatch.chdir(features.parent)
    words = ("--features", features.name, "--head", tmp_path / "r", "--split", 1, "--device", "cpu", "--out", "e")
    amnet_head("train", "--features", features.name, "--out", "r", *SMALL)
    assert amnet_head("evaluate", *words).exit_code == 0
    for run in ("r", "e/split-1"):
        assert json.loads((tmp_path / run / "metrics.json").read_text())["features"] == str(features)
    features.write_bytes(b"no collection any more")
    assert amnet_head("table", "r").exit_code == 0


def test_a_finished_run_goes_on_and_says_that_its_test_list_is_opened_again(features, tmp_path):
    words = ("train", "--features", features, "--out", tmp_path / "r", "--device", "cpu")
    assert amnet_head(*words, *SMALL, "--keep-state").exit_code == 0
    result = amnet_head(*words, "--resume", "--epochs", 3)
    assert result.exit_code == 0, result.output
    assert f"note: {tmp_path / 'r'} was tested after 2 epochs; going on, its test list is opened again" in result.stderr
    assert re.search(r"epoch \d of 3, val rho", result.stdout)
    again = amnet_head(*words, "--resume")
    assert again.stdout == result.stdout
    assert "opened again" not in again.stderr
