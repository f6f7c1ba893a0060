"""`amnet-head methods`: what it says is what the runs were, and what it cites has an entry."""

import json
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from headtrain.cli import main
from headtrain.methods.references import REFERENCES

SMALL = ("--hidden", 8, "--regress-hidden", 4, "--epochs", 2, "--device", "cpu", "--no-compile")


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run(features, tmp_path):
    words = ("--features", features, "--split", "all", "--lr", 0.0025, "--seed", 7, "--out", tmp_path / "r", *SMALL)
    assert amnet_head("train", *words).exit_code == 0
    return tmp_path / "r"


def one_line(text):
    return " ".join(text.split())


def test_the_paragraph_says_what_the_runs_were(run):
    result = amnet_head("methods", run)
    assert result.exit_code == 0, result.output
    said = one_line(result.stdout)
    assert "on 2 splits (6 training, 3 validation, 3 test images each)" in said
    assert "learning rate 0.0025, L2 1e-06, batches of 256" in said
    assert "seed 7" in said
    assert f"python {sys.version.split()[0]}" in said
    spec = json.loads(amnet_head("show", run / "split-1").stdout and (run / "split-1/run.json").read_text())
    assert spec["made"]["versions"]["python"] == sys.version.split()[0]
    rhos = [json.loads((run / f"split-{k}/metrics.json").read_text())["test"]["rho"] for k in (1, 2)]
    assert f"rho = {sum(rhos) / 2:.3f}" in said
    error = ((1 / 2 + 3 / 6) * np.var(rhos, ddof=1)) ** 0.5  # Nadeau and Bengio's
    low, high = (sum(rhos) / 2 + sign * stats.t.ppf(0.975, 1) * error for sign in (-1, 1))
    assert f"(trained anew: [{low:.3f}, {high:.3f}])" in said


def test_every_citation_has_an_entry_and_every_entry_is_cited(features, run, tmp_path):
    assert amnet_head("baseline", "--features", features, "--split", "1", "--out", tmp_path / "b").exit_code == 0
    text, _, entries = amnet_head("methods", run, tmp_path / "b/ridge").stdout.partition("@")
    cited = {key for key in REFERENCES if key in text}
    assert cited == set(re.findall(r"\{(\w+),\n", entries))
    assert {"fajtl2018amnet", "he2016deep", "kingma2015adam", "hastie2009elements"} <= cited


def test_the_score_has_the_name_that_is_given(run):
    said = one_line(amnet_head("methods", run, "--score-name", "valence").stdout.partition("@")[0])
    assert said.startswith("Valence of the images was predicted")
    assert "memorab" not in said.lower()


def test_an_optimistic_run_is_called_so(features, tmp_path):
    words = ("--features", features, "--select-on", "test", "--out", tmp_path / "o", *SMALL)
    assert amnet_head("train", *words).exit_code == 0
    said = one_line(amnet_head("methods", tmp_path / "o").stdout)
    assert "on the test list was kept, which makes the test result optimistic" in said
    assert "optimistic: epochs chosen on test images" in said


def test_what_is_no_run_is_refused_in_one_line(tmp_path):
    result = amnet_head("methods", tmp_path)
    assert result.exit_code == 2
    assert "expected a finished run" in result.output
    assert result.output.count("\n") == 1
