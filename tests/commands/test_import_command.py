"""`amnet-head import` as typed: what it passes over, what a path says otherwise, and what is refused in one line."""

import pytest
import torch
from click.testing import CliRunner

from headtrain.cli import main
from headtrain.heads.checkpoint import load_head


def run_import(*words):
    return CliRunner().invoke(main, ["import", *map(str, words)])


@pytest.fixture
def published(shared, tmp_path):
    """published(name) -> a small checkpoint with the layers that a published one is known to hold, in a folder."""
    source = shared / "cases" / "training" / "import-published-dead-layers" / "small-with-dead-layers.pkl"
    if not source.is_file():
        pytest.skip(f"no cases: expected {source}")

    def placed(folder):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "weights_40.pkl"
        path.write_bytes(source.read_bytes())
        return path

    return placed


def test_a_published_checkpoint_is_imported_and_what_is_passed_over_named_in_one_line(published, tmp_path):
    path = published("plain")
    result = run_import(path, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        f"{path}: passed over, as no part of the head: e11, eh2, eh12, eh30, eh31, eh11, eh22, regnet2"
    ]
    assert load_head(tmp_path / "r").config.steps == 3


def test_a_path_that_says_otherwise_than_the_options_is_told_line_by_line(published, tmp_path):
    path = published("ava_ResNet101FC_lstm2_noatt_last_train_1")
    result = run_import(path, "--out", tmp_path / "r")
    assert result.exit_code == 0
    said = [line.partition("the path says ")[2] for line in result.stderr.splitlines()[:-1]]
    assert [line.partition(",")[0].partition(":")[0] for line in said] == [
        "noatt",
        "lstm2",
        "_last",
        "ResNet101",
        "ava",
    ]
    words = ("--steps", 2, "--no-attention", "--last-step", "--mean", 0.538)
    result = run_import(path, "--out", tmp_path / "s", *words)
    assert [line for line in result.stderr.splitlines() if "the path says" in line and "ResNet101" not in line] == []
    assert load_head(tmp_path / "s").target_mean.item() == pytest.approx(0.538)


def test_names_of_passed_over_layers_stay_in_one_line_and_are_few(tmp_path):
    state = torch.load(made(tmp_path), weights_only=True)["model"]
    torch.save({"model": state | {f"a\n\x1b[31m{i}.weight": torch.zeros(1) for i in range(90)}}, tmp_path / "b.pkl")
    result = run_import(tmp_path / "b.pkl", "--out", tmp_path / "r")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "\x1b" not in result.stderr
    assert result.stderr.endswith(", and 78 more\n")


@pytest.mark.parametrize("value", ["nan", "inf", "-1e30"])
def test_a_mean_that_is_none_is_refused(tmp_path, value):
    result = run_import(made(tmp_path), "--mean", value, "--out", tmp_path / "r")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "r").exists()


def made(folder):
    """A checkpoint of a head of 6 locations and 5 channels, as ours has its names."""
    from headtrain.heads.architectures import new_head
    from headtrain.settings.configuration import override
    from headtrain.settings.presets import RELEASED

    head = new_head(override(RELEASED, locations=6, channels=5, hidden=4, regress_hidden=3).head)
    state = {name: value for name, value in head.state_dict().items() if not name.startswith("target_")}
    torch.save({"model": state}, folder / "a.pkl")
    return folder / "a.pkl"
