"""`amnet-head score` and `sweep` with `--engine ray`: a real Ray on this machine."""

import json

import pytest
from click.testing import CliRunner

from headtrain.cli import main

pytestmark = pytest.mark.xdist_group("ray")


def run(*words):
    result = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def head(features, tmp_path):
    words = ("--epochs", 1, "--hidden", 8, "--regress-hidden", 4, "--device", "cpu")
    assert run("train", "--features", features, "--out", tmp_path / "run", *words).exit_code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.ray)])
def test_workers_one_of_which_is_killed_score_to_the_table_of_one_process(
    features, head, tmp_path, ray_workers, monkeypatch, count
):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 2)
    words = ("score", "--features", features, "--head", head, "--device", "cpu")
    one = run(*words, "--out", tmp_path / "one.csv")
    monkeypatch.setattr("headtrain.scoring.ray_engine.BLOCKS_A_TASK", {"cpu": 1 if count > 2 else 2})
    with ray_workers(count, die_at=3) as workers:  # the second block of the first task
        several = run(*words, "--out", tmp_path / "ray.csv", "--engine", "ray")
        assert len(workers.pids) >= count
        assert not workers.dies  # one has
    assert (one.exit_code, several.exit_code) == (0, 0), several.stderr
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert several.stdout.startswith(f"{tmp_path / 'ray.csv'}: 12 images scored; ")
    said = [json.loads((tmp_path / f"{name}.csv.json").read_text()) for name in ("one", "ray")]
    assert said[0] | {"made": said[1]["made"]} == said[1]
    with ray_workers(1):  # what is there is not scored again
        more = run(*words, "--out", tmp_path / "ray.csv", "--engine", "ray", "--append")
    assert (more.exit_code, ": 0 images scored, 12 kept; " in more.stdout) == (0, True)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
