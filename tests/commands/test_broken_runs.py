"""Runs that diverged, or are half-made, damaged or mistyped: each says so in one line, and holds up no other."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from amnet_common.collection.joining import relabel
from headtrain.cli import main
from headtrain.heads.checkpoint import LAST

SMALL = ["--epochs", 2, "--hidden", 8, "--device", "cpu", "--precision", "float32"]
NAN = ["--lr", "1e30"]


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def rows_of(*words):
    return json.loads(amnet_head("runs", *words, "--format", "json").stdout)


@pytest.fixture
def sweep(features, tmp_path):
    """A sweep of a head that learns and one that diverges; the words that make it."""
    out = tmp_path / "sweep"
    return ["sweep", "--features", features, "--grid", "lr=1e-3,1e30", "--split", 1, *SMALL, "--out", out], out


def test_a_training_that_diverges_stops_at_once_and_is_marked(features, tmp_path):
    result = amnet_head("train", "--features", features, *SMALL, *NAN, "--out", tmp_path / "r")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"{tmp_path / 'r'}: diverged: ")
    assert "is no finite number after epoch 1; a lower --lr, or --clip, may help" in result.stderr
    assert not (tmp_path / "r" / "metrics.json").exists()
    assert [row["status"] for row in rows_of(tmp_path)] == ["diverged"]
    again = amnet_head("train", "--features", features, *SMALL, *NAN, "--out", tmp_path / "r", "--resume")
    assert (again.exit_code, again.stderr.splitlines()[-1]) == (1, result.stderr.splitlines()[-1])


def test_a_head_that_says_the_same_of_every_image_is_not_finished(features, tmp_path):
    result = amnet_head("train", "--features", features, *SMALL, "--lr", "1e-30", "--out", tmp_path / "r")
    assert result.exit_code == 1
    assert "predictions are the same for every validation image, in every epoch: nothing was learnt" in result.stderr
    assert [row["status"] for row in rows_of(tmp_path)] == ["diverged"]


def test_a_sweep_goes_on_without_the_head_that_diverged(sweep):
    words, out = sweep
    result = amnet_head(*words)
    assert result.exit_code == 1, result.output
    assert sorted(row["status"] for row in rows_of(out)) == ["diverged", "finished"]
    assert amnet_head(*words, "--resume").exit_code == 1
    good, bad = out / "lr=0.001,seed=0", out / "lr=1e+30,seed=0"
    for later in (["table", good, bad], ["report", good, bad, "--features", words[2], "--out", out / "r.html"]):
        result = amnet_head(*later)
        assert result.exit_code == 0, result.output
        assert (
            f"left out: {bad}/split-1: expected a finished run, found one that diverged after epoch 1" in result.stderr
        )
    result = amnet_head("table", bad)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_head_with_nan_is_not_scored_with(sweep, tmp_path):
    words, out = sweep
    amnet_head(*words)
    checkpoint = out / "lr=0.001,seed=0" / "split-1" / LAST
    import safetensors.torch as st
    from safetensors import safe_open

    with safe_open(checkpoint, "pt") as file:
        metadata = file.metadata()
    tensors = st.load_file(checkpoint)
    tensors["init_h.bias"][0] = np.nan
    st.save_file(tensors, tmp_path / "nan.safetensors", metadata)
    result = amnet_head("score", "--features", words[2], "--head", tmp_path / "nan.safetensors", "--out",
                        tmp_path / "s.jsonl")  # fmt: skip
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "expected finite parameters, found NaN or infinity in init_h.bias" in result.stderr
    assert not (tmp_path / "s.jsonl").exists()


@pytest.mark.parametrize("name", ["lr", "target-mean", "target-scale", "l2", "clip", "penalty"])
@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_settings_that_are_no_finite_numbers_are_refused_in_one_line(features, tmp_path, name, value):
    result = amnet_head("train", "--features", features, *SMALL, f"--{name}={value}", "--out", tmp_path / "r")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("toml", "message"), [
    ("[training]\nlearning_rate = inf\n", "--lr: expected a finite number, found inf"),
    ("[head]\nplaces = 49\n", r"[head]: expected 196 locations of 1024 channels, as "),
    ("[head]\nchannels = 512\n", r"found 196 of 512"),
])  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused_in_one_line(features, tmp_path, toml, message):
    (tmp_path / "c.toml").write_text(toml)
    result = amnet_head("train", "--features", features, "--config", tmp_path / "c.toml", "--device", "cpu", "--out",
                        tmp_path / "r")  # fmt: skip
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_a_list_of_one_score_is_refused(features, tmp_path, subset):
    collection = Collection(features)
    lines = [f"{id_},{0.5 if name.startswith(subset) else 0.1 * row},{name.partition('_')[0]}"
             for name, split in collection.splits.items() if name.endswith("_1")
             for row, id_ in ((row, collection.ids[row]) for row in split.rows)]  # fmt: skip
    (tmp_path / "labels.csv").write_text("id,score,split\n" + "\n".join(lines))
    relabel(features, tmp_path / "labels.csv", tmp_path / "constant.h5")
    for words in (["train", *SMALL], ["baseline"]):
        result = amnet_head(*words, "--features", tmp_path / "constant.h5", "--out", tmp_path / "r")
        assert result.exit_code == 2
        assert "images of split 1, found 0.5 for all" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("left", [(), ("config.toml",)])
def test_a_half_made_run_is_begun_anew_by_resume(sweep, left):
    words, out = sweep
    amnet_head(*words)
    run = out / "lr=0.001,seed=0" / "split-1"
    for path in run.iterdir():
        if path.name not in left:
            path.unlink()
    assert amnet_head(*words, "--resume").exit_code == 1  # the other head diverged
    assert sorted(row["status"] for row in rows_of(out)) == ["diverged", "finished"]


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
def test_a_damaged_run_holds_up_no_other(sweep, name):
    words, out = sweep
    amnet_head(*words)
    run = out / "lr=0.001,seed=0" / "split-1"
    (run / name).write_bytes(b"")
    shutil.rmtree(out / "lr=1e+30,seed=0")
    rows = rows_of(out)
    assert [(row["run"], row["status"]) for row in rows] == [(str(run), "damaged")]
    assert f"{name}: expected a file of a run, found none that can be read" in rows[0]["note"]
    result = amnet_head(*words, "--resume")
    assert result.exit_code == 1
    assert "split-1: left out: " in result.output
    assert sorted(row["status"] for row in rows_of(out)) == ["damaged", "diverged"]
    assert amnet_head("runs", out, "--summary").stderr.count("damaged, left out") == 1


def test_resume_of_a_mistyped_folder_is_refused_with_the_nearest_name(features, tmp_path):
    assert amnet_head("train", "--features", features, *SMALL, "--out", tmp_path / "base").exit_code == 0
    for command in ("train", "sweep"):
        result = amnet_head(command, "--features", features, *SMALL, "--out", tmp_path / "bsae", "--resume")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert f"found none; did you mean {tmp_path / 'base'}?" in result.stderr
    assert not (tmp_path / "bsae").exists()


def test_a_leaderboard_of_damaged_runs_alone_is_one_of_marked_rows(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("[[" * 3)
    result = amnet_head("runs", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.count("| damaged |") == 2


def test_a_single_run_that_diverged_is_left_out_of_a_table(features, tmp_path):
    amnet_head("train", "--features", features, *SMALL, "--out", tmp_path / "good")
    amnet_head("train", "--features", features, *SMALL, *NAN, "--out", tmp_path / "bad")
    result = amnet_head("table", tmp_path / "good", tmp_path / "bad")
    assert result.exit_code == 0, result.output
    assert f"left out: {tmp_path}/bad: expected a finished run, found one that diverged" in result.stderr


def test_a_split_that_diverged_is_not_said_to_be_resumable(features, tmp_path):
    for split, more in ((1, []), (2, NAN)):
        run = tmp_path / "all" / f"split-{split}"
        amnet_head("train", "--features", features, *SMALL, *more, "--split", split, "--out", run)
    result = amnet_head("score", "--features", features, "--head", tmp_path / "all", "--out", tmp_path / "s.csv")
    assert result.exit_code == 2
    assert "expected finished heads, found that split-2 diverged; name the others" in result.stderr


def test_a_damaged_state_holds_up_no_other_head_of_a_sweep(features, tmp_path):
    out = tmp_path / "sweep"
    words = ["sweep", "--features", features, "--grid", "lr=1e-3,1e-4", "--split", 1, *SMALL, "--out", out]
    assert amnet_head(*words).exit_code == 0
    for run in out.glob("lr=*/split-1"):  # both as a kill before their end leaves them
        (run / "metrics.json").unlink()
    (out / "lr=0.001,seed=0" / "split-1" / "state.pt").write_bytes(b"cut short")
    result = amnet_head(*words, "--resume")
    assert result.exit_code == 1, result.output
    assert "state.pt: expected the state of this run, found one that cannot be read" in result.output
    assert (out / "lr=0.0001,seed=0" / "split-1" / "metrics.json").exists()
    alone = amnet_head("train", "--features", features, *SMALL, "--lr", "1e-3", "--split", 1, "--resume", "--out",
                       out / "lr=0.001,seed=0" / "split-1")  # fmt: skip
    assert alone.exit_code == 2
    assert "state.pt: expected the state of this run, found one" in alone.stderr.splitlines()[-1]


def test_damaged_runs_are_named_where_conditions_choose(features, tmp_path):
    amnet_head("train", "--features", features, *SMALL, "--out", tmp_path / "runs" / "r")
    (tmp_path / "runs" / "r" / "metrics.json").write_bytes(b"")
    result = amnet_head("runs", tmp_path / "runs", "--where", "lr=1e-3")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"{tmp_path}/runs/r: damaged, left out: " in result.stderr
