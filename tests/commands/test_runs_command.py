"""`amnet-head runs`: the leaderboard as typed."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.datasets import SplitList
from amnet_common.files import write_json
from headtrain.cli import main
from headtrain.leaderboard.board import BOARD
from headtrain.runs.folder import new_run_folder
from headtrain.runs.log import Epoch, write_log
from headtrain.settings.configuration import override
from headtrain.settings.presets import PAPER

RATES = {1e-3: (0.5, 0.4), 1e-4: (0.6, 0.5)}  # validation rho of splits 1 and 2


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def make_run(tmp_path):
    """make(name, split, val rho, finished=True, **settings) -> a run folder."""

    def make(name, split, rho, finished=True, **settings):
        run, config = tmp_path / "runs" / name, override(PAPER, **settings)
        identity = {"config": config.as_dict(), "split": split, "selected_on": f"val_{split}"}
        source = {"fingerprint": "ab", "images": f"{split}", "features": "/data/lnsim.h5"}
        new_run_folder(run, identity | source, config)
        epoch = Epoch(1, 1.0, 0.0, rho, 0.1, 30.0, best=True, lowest_mse=True)
        write_log(run, [epoch])
        if finished:
            write_json(run / "metrics.json", {"split": split, "test": {"rho": 1 - rho, "mse": rho / 10},
                       "interval": [0.1, 0.9], "best": asdict(epoch), "epochs": 1, "seconds": 30.0})  # fmt: skip
        return run

    return make


@pytest.fixture
def runs(make_run, tmp_path):
    """Two learning rates on two splits, and a head that is not finished."""
    for rate, rhos in RATES.items():
        for split, rho in enumerate(rhos, 1):
            make_run(f"lr-{rate:g}/split-{split}", split, rho, learning_rate=rate)
    make_run("begun", 1, 0.2, finished=False, learning_rate=1e-2)
    return tmp_path / "runs"


def listed(*words):
    result = amnet_head("runs", *words, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_leaderboard_lists_what_train_wrote(make_collection, tmp_path):
    scores, ids = np.linspace(0.3, 0.9, 12), tuple(f"{row:02}.jpg" for row in range(12))
    order = {1: np.arange(12), 2: np.arange(12)[::-1]}
    cuts = {"train": slice(0, 6), "val": slice(6, 9), "test": slice(9, 12)}
    lists = {f"{part}_{k}": SplitList(o[cut], scores[o[cut]]) for k, o in order.items() for part, cut in cuts.items()}
    features = make_collection(ids, done=range(12), splits=lists)
    small = ("--hidden", 8, "--regress-hidden", 4, "--epochs", 2, "--device", "cpu", "--split", "all")
    assert amnet_head("train", "--features", features, "--out", tmp_path / "r", *small).exit_code == 0
    rows = {row["split"]: row for row in listed(tmp_path)}
    for split in (1, 2):
        run = tmp_path / "r" / f"split-{split}"
        facts, row = json.loads((run / "metrics.json").read_text()), rows[split]
        assert (row["run"], row["status"], row["epochs-trained"]) == (str(run), "finished", 2)
        assert (row["val-rho"], row["best-epoch"]) == (facts["best"]["val_rho"], facts["best"]["epoch"])
        assert (row["test-rho"], row["mse"]) == (facts["test"]["rho"], facts["test"]["mse"])
        assert [row["test-rho-low"], row["test-rho-high"]] == facts["interval"]
        assert row["minutes"] == facts["seconds"] / 60
    (row,) = listed(tmp_path, "--summary")
    assert (row["heads"], row["splits"]) == (2, 2)


def test_heads_come_by_validation_rho_with_what_they_differ_in(runs):
    table = amnet_head("runs", runs, "--test").stdout
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    columns = ["run", "status", "split", "lr", "val-rho", "test-rho", "mse", "best-epoch", "epochs-trained", "minutes"]
    assert set(lines[0]) - set(BOARD) == set(columns) - set(BOARD)
    best, begun = dict(zip(lines[0], lines[2], strict=True)), dict(zip(lines[0], lines[-1], strict=True))
    assert [best[column] for column in columns] == [
        f"{runs}/lr-0.0001/split-1", "finished", "1", "0.0001", "0.6000", "0.4000 [0.100, 0.900]", "0.06000", "1", "1",
        "0.5",
    ]  # fmt: skip
    assert [begun[column] for column in columns] == [
        f"{runs}/begun", "unfinished", "1", "0.01", "0.2000", "-", "-", "1", "1", "0.5",
    ]  # fmt: skip


@pytest.mark.parametrize("summary", [(), ("--summary",)])
def test_test_figures_are_hidden_until_asked_for(runs, summary):
    hidden, shown = (amnet_head("runs", runs, *summary, *words) for words in ((), ("--test",)))
    head, asked = (result.stdout.splitlines()[0] for result in (hidden, shown))
    assert [column in head for column in ("val-rho", "test-rho", "mse")] == [True, False, False]
    assert [column in asked for column in ("val-rho", "test-rho", "mse")] == [True, True, True]
    assert "test figures are hidden" in hidden.stderr
    assert "amnet-head runs --test shows them" in hidden.stderr
    assert "hidden" not in shown.stderr
    assert "test-rho" in amnet_head("runs", runs, *summary, "--sort", "test-rho").stdout.splitlines()[0]
    for form in ("csv", "json"):
        machine = amnet_head("runs", runs, *summary, "--format", form)
        assert "test-rho" in machine.stdout
        assert "hidden" not in machine.stderr


def test_a_mean_over_splits_says_that_it_may_have_seen_test_images(runs):
    said = amnet_head("runs", runs, "--summary").stderr
    assert "note: a mean of validation rho over splits has seen test images where the splits overlap" in said
    for run in runs.rglob("run.json"):
        found = json.loads(run.read_text())
        run.write_text(json.dumps(found | {"tested_elsewhere": 10 * found["split"]}))
    said = amnet_head("runs", runs, "--summary").stderr
    assert "seen test images: 30 images of 2 validation lists stand in another split's test list\n" in said
    for words in (("--where", "split=1", "--summary"), ()):
        assert "seen test images" not in amnet_head("runs", runs, *words).stderr
    for run in runs.rglob("run.json"):
        run.write_text(json.dumps(json.loads(run.read_text()) | {"tested_elsewhere": 0}))
    assert "seen test images" not in amnet_head("runs", runs, "--summary").stderr


def test_csv_has_every_digit(runs):
    table = [*csv.DictReader(io.StringIO(amnet_head("runs", runs, "--format", "csv").stdout))]
    assert len(table) == 5
    assert [float(row["val-rho"]) for row in table] == [0.6, 0.5, 0.5, 0.4, 0.2]
    assert float(table[0]["mse"]) == 0.6 / 10
    assert table[-1]["test-rho"] == ""


def test_undefined_figures_are_null(make_run, tmp_path):
    make_run("a", 1, float("nan"), finished=False)
    (row,) = listed(tmp_path)
    assert (row["val-rho"], row["test-rho"], row["status"]) == (None, None, "unfinished")


def test_conditions_sorting_and_top_choose_the_rows(runs):
    assert [row["val-rho"] for row in listed(runs, "--where", "lr=0.001")] == [0.5, 0.4]
    assert [row["lr"] for row in listed(runs, "--where", "split=1", "--sort", "lr")] == [1e-4, 1e-3, 1e-2]
    rows = listed(runs, "--where", "split=1", "--sort", "lr", "--reverse", "--top", 1)
    assert [row["lr"] for row in rows] == [1e-2]
    assert [row["val-rho"] for row in listed(runs, "--reverse", "--top", 2)] == [0.2, 0.4]


def test_a_summary_marks_the_best_by_validation(runs):
    rows = listed(runs, "--summary", "--where", "status=finished")
    assert [(row["lr"], row["best"], row["heads"]) for row in rows] == [(1e-4, True, 2), (1e-3, False, 2)]
    np.testing.assert_allclose([row["val-rho"] for row in rows], [np.mean(RATES[1e-4]), np.mean(RATES[1e-3])])
    assert rows[0]["test-rho"] < rows[1]["test-rho"]
    lines = amnet_head("runs", runs, "--summary").stdout.splitlines()
    assert [line[:3] for line in lines] == ["|  ", "|--", "| *", "|  ", "|  "]
    assert "0.5500 ± 0.0707" in lines[2]


def test_a_summary_without_a_best_says_why(make_run, tmp_path):
    make_run("a", 1, 0.5, steps=1), make_run("b", 2, 0.6, steps=2)
    result = amnet_head("runs", tmp_path, "--summary")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "no row is marked" in result.stderr
    assert "*" not in result.stdout


@pytest.mark.parametrize(("words", "message"), [
    (("--where", "speed=1"), "--where: expected KEY=VALUE with one of"),
    (("--where", "split=7"), "--where: expected heads with split=7, found none among 5"),
    (("--sort", "speed"), "--sort: expected one of run, status, split, lr, val-rho"),
])  # fmt: skip
def test_wrong_use_ends_with_one_line_and_status_2(runs, words, message):
    result = amnet_head("runs", runs, *words)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert message in result.stderr


def test_a_folder_without_runs_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing, empty = amnet_head("runs"), amnet_head("runs", ".")
    assert (missing.exit_code, missing.stderr) == (2, "main runs: runs: expected a folder of runs, found none\n")
    assert (empty.exit_code, empty.stderr.count("\n")) == (2, 1)
    assert ".: expected runs of amnet-head train (folders with run.json), found none" in empty.stderr


def test_a_damaged_run_is_a_row_with_its_reason(runs):
    (runs / "begun" / "run.json").write_text("{}")
    rows = {row["run"]: row for row in listed(runs)}
    assert len(rows) == 5
    assert rows[f"{runs}/begun"]["status"] == "damaged"
    assert f"{runs}/begun/run.json: expected" in rows[f"{runs}/begun"]["note"]


def test_neither_torch_nor_scipy_is_waited_for(runs):
    code = "import sys; from headtrain.cli import main; main(['runs', sys.argv[1]], standalone_mode=False)"
    code += "; print({'torch', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code, str(runs)], capture_output=True, text=True, check=True)
    assert "lr-0.0001/split-1" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
