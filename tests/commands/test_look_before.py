"""What is looked at before anyone waits: weights, files still being filled, presets, files that stand in two lists."""

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import save_file

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.filling import is_being_written
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import SplitList
from extract.cli import main as extract
from extract.weights import load_weights
from headtrain.cli import main as head
from headtrain.heads.checkpoint import load_head
from headtrain.scoring import photos
from headtrain.settings.configuration import SETTINGS
from headtrain.settings.presets import AMNET, PRESETS


def invoke(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def weights(tmp_path):
    """weights(seed, **metadata) -> a file of an untrained trunk; that of seed 0 is the trained head's."""

    def make(seed, **metadata):
        path = tmp_path / f"w{seed}.safetensors"
        save_file(dict(load_weights("untrained", seed).state), path, metadata or None)
        return path

    return make


def test_predict_refuses_a_file_of_another_trunk_and_begins_no_extraction(trained, weights, monkeypatch):
    monkeypatch.setattr(photos, "command", lambda: pytest.fail("an extraction was begun"))
    digest = load_head(trained / "run").provenance.spec["weights_sha256"]
    result = invoke(head, "predict", trained / "images", "--head", trained / "run", "--weights", weights(1))
    assert result.exit_code == 2
    assert f"{trained / 'run'} was trained on features of another trunk (" in result.stderr
    assert f"weights_sha256: expected {digest}, found {load_weights('untrained', 1).sha256}" in result.stderr
    assert f"variant torchvision-untrained, weights of sha256 {digest[:12]} (untrained)" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_predict_refuses_the_same_weights_wired_otherwise(trained, weights, monkeypatch):
    monkeypatch.setenv("AMNET_WEIGHTS", str(weights(0, variant="msra-2015")))
    monkeypatch.setattr(photos, "command", lambda: pytest.fail("an extraction was begun"))
    result = invoke(head, "predict", trained / "images", "--head", trained / "run")
    assert "(variant: expected torchvision-untrained, found msra-2015)" in result.stderr


def test_missing_weights_are_refused_with_the_name_of_the_heads_trunk(trained, capfd):
    words = ("--head", trained / "run", "--weights", "gone.pth")
    assert invoke(head, "predict", trained / "images" / "0.png", *words).exit_code == 2
    first, second = capfd.readouterr().err.splitlines()
    digest = load_head(trained / "run").provenance.spec["weights_sha256"]
    assert first.endswith("found 'gone.pth', which is neither")
    assert second == ("  wanted: resnet50-layer3, variant torchvision-untrained, weights of sha256 "
                      f"{digest[:12]} (untrained)")  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("ab" * 32, "--weights untrained: expected weights of sha256 " + "ab" * 32 + ", found "),
        ("abc", "--expect-weights: expected 64 hex digits, as amnet-cache info prints them, found 'abc'"),
    ],
)
def test_amnet_extract_refuses_other_weights_than_expected_and_makes_no_file(trained, tmp_path, expected, message):
    words = ("--dataset", "folder", "--root", trained / "images", "--weights", "untrained", "--out", tmp_path / "n.h5")
    result = invoke(extract, *words, "--expect-weights", expected)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_amnet_extract_takes_the_weights_that_are_expected_and_looks_at_a_complete_file_too(trained):
    words = ("--dataset", "lamem", "--root", trained, "--weights", "untrained", "--out", trained / "f.h5")
    words += ("--augs", 1, "--precision", "float32")
    digest = load_weights("untrained").sha256
    assert invoke(extract, *words, "--expect-weights", f"{digest.upper()} ours").exit_code == 0
    result = invoke(extract, *words, "--expect-weights", f"{'ab' * 32} theirs")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "  wanted: theirs"


def test_training_on_a_file_that_is_being_filled_says_how_far_it_is(make_collection):
    lists = {f"{part}_1": SplitList(np.arange(4), np.linspace(0, 1, 4)) for part in ("train", "val", "test")}
    path = make_collection(done=range(3), splits=lists)
    words = ("--features", path, "--device", "cpu", "--out", path.parent / "run")
    for command in (("train",), ("sweep", "--grid", "lr=1e-3,1e-4"), ("baseline",)):
        with RowWriter(path, 3):
            assert is_being_written(Collection(path))
            result = invoke(head, *command, *words[: 2 if command == ("baseline",) else 6])
        assert result.exit_code == 2
        note, error = result.stderr.splitlines()[-2:]
        assert note == f"note: {path}: 3 of 4 images are done, 1 pending; amnet-extract is writing it now"
        assert "pending; run the same amnet-extract again" in error
        (path.parent / "run").exists() and (path.parent / "run").rmdir()
    assert not is_being_written(Collection(path))
    assert len(invoke(head, "train", *words).stderr.splitlines()) == 1  # the refusal, which counts them
    with RowWriter(path, 3) as writer:
        writer.fail(3, ImageFacts(), "gone")
        writer.sync()
        assert "is writing" not in invoke(head, "train", *words).stderr


def test_train_help_shows_the_default_presets_values():
    text = " ".join(invoke(head, "train", "--help").stdout.split())
    for name, value in AMNET.values().items():
        on, slash, off = SETTINGS[name].option.partition("/")
        shown = (on if value else off) if slash else "from the data" if value is None else None
        shown = shown or (f"{value:g}" if isinstance(value, float) else str(value))
        if SETTINGS[name].option:
            assert f"{SETTINGS[name].about} [default: {shown} in preset amnet]" in text


@pytest.mark.parametrize("name", PRESETS)
def test_show_prints_a_preset_with_its_sources(name):
    lines = invoke(head, "show", "--preset", name).stdout.splitlines()
    assert lines[0].startswith(f"preset {name}")
    assert len(lines) == 1 + len(SETTINGS)
    for key in SETTINGS:
        (line,) = [one for one in lines if one[3:].split()[0] == key]
        assert line.endswith(PRESETS[name].source(key))


def test_show_wants_a_run_or_a_preset(tmp_path):
    assert "Missing argument '[RUN]'" in invoke(head, "show").stderr
    result = invoke(head, "show", tmp_path, "--preset", "paper")
    assert f"--preset paper: expected it without a run, found {tmp_path} as well" in result.stderr


def test_info_counts_the_test_images_that_are_files_of_the_training_list(make_collection):
    scores = np.linspace(0, 1, 6)
    parts = {"train_1": [0, 1], "val_1": [2], "test_1": [3, 4, 5], "train_2": [3, 4], "val_2": [5], "test_2": [5, 0]}
    lists = {name: SplitList(np.array(rows), scores[rows]) for name, rows in parts.items()}
    path = make_collection(ids=[f"{i}.jpg" for i in range(6)], splits=lists)
    with RowWriter(path) as writer:
        for row, content in enumerate((b"a", b"b", b"c", b"c", b"b", b"e")):
            for view in range(2):
                writer.write_view(row, view, np.zeros((14, 14, 1024), np.float16))
            digest = (content * 32)[:32] if content != b"e" else bytes(32)  # of one file nothing is known
            writer.finish(row, ImageFacts(sha256=digest), np.zeros((2, 5), np.float32))
    lines = [line for line in invoke(cache, "info", path).stdout.splitlines() if line.startswith("repeated")]
    assert lines == ["repeated     2 images of test_1 are files of its training or validation list under another name, "
                     "such as 3.jpg, which is 2.jpg; --duplicates names them"]  # fmt: skip


def test_a_run_keeps_the_name_of_its_weights(trained):
    from headtrain.scoring.trunk_wanted import weights_name

    assert weights_name(trained / "run") == weights_name(trained / "run" / "best.safetensors") == "untrained"
    assert weights_name(Path(os.devnull)) == ""
