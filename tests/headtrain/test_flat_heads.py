"""A head whose predictions hardly differ is not believed: every command that shows its figures says so."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from headtrain.cli import main
from headtrain.evaluation.metrics import evaluate, flat_line
from headtrain.runs.documents import read_result

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--device", "cpu", "--no-compile")
NOTE = "predicts nearly the same for every image (sd "


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def runs(make_learnable, tmp_path):
    """The collection, a head after one small step, and one that has learnt."""
    path = make_learnable().path
    dead = ("--epochs", 1, "--lr", 1e-6)
    learnt = ("--epochs", 60, "--lr", 1e-2, "--weight-average", 0, "--patience", 60, "--batch-size", 8)
    results = {
        name: amnet_head("train", "--features", path, *SMALL, *words, "--out", tmp_path / "runs" / name)
        for name, words in (("dead", dead), ("learnt", learnt))
    }
    assert {name: result.exit_code for name, result in results.items()} == {"dead": 0, "learnt": 0}
    return path, tmp_path / "runs", results


def test_the_note_is_about_the_deviation_and_not_about_rho():
    scores = np.linspace(0.2, 0.9, 50)
    flat, sound = evaluate(0.5 + scores / 100, scores), evaluate(0.5 + scores / 5, scores)
    assert (flat.rho > 0.99, flat.flat, sound.flat) == (True, True, False)
    assert flat_line("r", [sound]) == ""
    assert flat_line("r", [flat]).startswith(f"note: r {NOTE}0.0021, that of the scores 0.21)")
    assert "for every image on 1 of 2 splits (sd" in flat_line("r", [flat, sound])


def test_train_table_and_runs_name_the_dead_head_and_no_other(runs):
    _, folder, results = runs
    assert read_result(folder / "learnt").test.rho > 0.5
    assert NOTE in results["dead"].stderr
    assert NOTE not in results["learnt"].stderr
    for words in (("table", folder / "dead", folder / "learnt"), ("runs", folder)):
        result = amnet_head(*words)
        assert result.exit_code == 0, result.output
        assert [line.split()[1] for line in result.stderr.splitlines() if NOTE in line] == [str(folder / "dead")]


def test_score_and_test_say_so_too(runs, tmp_path):
    path, folder, _ = runs
    for name, said in (("dead", True), ("learnt", False)):
        words = ("--features", path, "--head", folder / name, "--device", "cpu")
        scored = amnet_head("score", *words, "--out", tmp_path / f"{name}.csv")
        assert scored.exit_code == 0, scored.output
        assert ("note: the scores hardly differ (sd " in scored.stderr) == said
        assert (NOTE in amnet_head("test", *words).stderr) == said


def test_the_report_shows_it(runs, tmp_path):
    path, folder, _ = runs
    result = amnet_head("report", folder / "dead", "--features", path, "--out", tmp_path / "p.html")
    assert result.exit_code == 0, result.output
    assert NOTE in (tmp_path / "p.html").read_text()


BETTER = ": more than this head, "


def test_predict_says_what_the_heads_own_test_has_shown(runs, tmp_path, monkeypatch):
    """Of three photographs nothing could be said: their features here are those of three images of the collection."""
    from amnet_common.collection import Collection
    from headtrain.cli.predict import flat_in_its_test

    path, folder, _ = runs
    photos = [tmp_path / f"{i}.jpg" for i in range(40)]
    for photo in photos:
        photo.write_bytes(b"")
    monkeypatch.setattr("headtrain.scoring.photos.extracted", lambda *_: Collection(path))
    for name, said in (("dead", True), ("learnt", False)):
        result = amnet_head("predict", *photos, "--head", folder / name, "--device", "cpu")
        assert result.exit_code == 0, result.output
        assert (NOTE in result.stderr) == said == (NOTE in flat_in_its_test(folder / name / "best.safetensors"))
    (folder / "dead" / "metrics.json").write_text("{}")
    assert flat_in_its_test(folder / "dead") == ""


def test_train_and_table_name_a_simpler_model_that_does_better(runs, tmp_path):
    path, folder, results = runs
    assert f"note: {folder / 'dead'}: ridge on the same features reaches test rho " in results["dead"].stderr
    untested = amnet_head("train", "--features", path, *SMALL, "--epochs", 1, "--lr", 1e-6, "--no-test",
                          "--out", tmp_path / "untested")  # fmt: skip
    assert "ridge on the same features reaches validation rho " in untested.stderr
    assert amnet_head("baseline", "--features", path, "--out", tmp_path / "b").exit_code == 0
    result = amnet_head("table", folder / "dead", tmp_path / "b" / "constant", tmp_path / "b" / "ridge")
    (line,) = [line for line in result.stderr.splitlines() if BETTER in line]
    assert line.startswith(f"note: {folder / 'dead'}: ridge ({tmp_path / 'b' / 'ridge'}) reaches test rho ")
    ridge, head = (read_result(one / "split-1" if one.name == "ridge" else one).test.rho
                   for one in (tmp_path / "b" / "ridge", folder / "dead"))  # fmt: skip
    assert f"{ridge:.4f}{BETTER}{head:.4f}" in line
    assert BETTER not in amnet_head("table", folder / "dead", tmp_path / "b" / "constant").stderr


def test_a_baseline_of_more_images_is_not_held_against_a_head_of_fewer(runs, tmp_path):
    path, folder, _ = runs
    assert amnet_head("baseline", "--features", path, "--out", tmp_path / "b").exit_code == 0
    words = ("table", folder / "dead", tmp_path / "b" / "ridge")
    assert BETTER in amnet_head(*words).stderr
    metrics = tmp_path / "b" / "ridge" / "split-1" / "metrics.json"
    found = json.loads(metrics.read_text())
    found["images"]["train"] += 1
    metrics.write_text(json.dumps(found))
    assert BETTER not in amnet_head(*words).stderr
