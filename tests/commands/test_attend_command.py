"""`amnet-head attend` and `predict` as a user types them, on features of a trunk with random weights."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.collection import Collection
from extract.cli import main as extract
from headtrain.cli import main as head
from headtrain.heads.checkpoint import load_head


def invoke(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def attend(trained, tmp_path):
    """attend(words) -> click's result; the picture is a.png."""
    common = ("--features", trained / "f.h5", "--head", trained / "run", "--device", "cpu")
    return lambda *words: invoke(head, "attend", *common, "--out", tmp_path / "a.png", *words)


def test_attend_draws_a_line_an_image_and_gives_the_raw_maps(attend, trained, tmp_path):
    result = attend("3.png", "5.png", "--maps", tmp_path / "m.npy")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / "a.png"), str(tmp_path / "m.npy")]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height > 600
    maps = np.load(tmp_path / "m.npy")
    wanted = load_head(trained / "run").predict(Collection(trained / "f.h5").read([3, 5])).attention
    np.testing.assert_array_equal(maps, wanted.numpy().reshape(2, 3, 14, 14))


def test_attend_looks_at_an_augmented_view_and_draws_svg(attend, tmp_path):
    result = attend("3.png", "--view", 1, "--out", tmp_path / "a.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_images_that_are_not_there_are_drawn_without_and_named(attend, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    result = attend("3.png", "--images", tmp_path / "elsewhere")
    assert result.exit_code == 0, result.output
    assert result.stderr == "3.png: drawn without its picture: missing file\n"
    assert (tmp_path / "a.png").exists()


def test_another_file_is_not_taken_for_the_image(attend, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (10, 20)).save(tmp_path / "elsewhere" / "3.png")
    result = attend("3.png", "--images", tmp_path / "elsewhere")
    assert result.stderr == "3.png: drawn without its picture: another file than the one that the features are of\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("9.png",), "expected an image named as in the collection, such as 0.png, found 9.png"),
        (("3.png", "--view", 2), "f.h5: expected view 2, found views 0 to 1"),
        (("3.png", "--out", "a.gif"), "--out a.gif: expected a file ending in .png or .svg, found .gif"),
        (("3.png", "--images", "nowhere"), "--images nowhere: expected a folder, found none"),
    ],
)
def test_bad_input_to_attend_is_one_line_and_nothing_is_drawn(attend, tmp_path, words, message):
    result = attend(*words)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert not (tmp_path / "a.png").exists()


@pytest.fixture
def predict(trained):
    """predict(words) -> click's result."""
    common = ("--head", trained / "run", "--weights", "untrained", "--device", "cpu")
    return lambda *words: invoke(head, "predict", *words, *common)


def test_predict_scores_files_and_folders_as_their_collection_does(predict, trained, tmp_path):
    Image.new("RGB", (50, 40)).save(tmp_path / "a b.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    paths = (trained / "images", tmp_path / "a b.png", tmp_path / "broken.jpg")
    result = predict(*paths, "--out", tmp_path / "s.csv")
    assert result.exit_code == 1, result.output  # one could not be read
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [
        *(str(trained / "images" / f"{i}.png") for i in range(8)),
        *map(str, paths[1:]),
    ]
    wanted = load_head(trained / "run").predict(Collection(trained / "f.h5").read_dequantised(range(8))).score
    assert [float(row["score"]) for row in rows[:8]] == pytest.approx(wanted.tolist(), abs=5e-4)
    assert result.stdout.splitlines()[-1] == f"     -  {tmp_path}/broken.jpg: not an image that Pillow can identify"


@pytest.mark.parametrize("version", [1, 2])
def test_predict_cuts_photographs_as_the_heads_own_collection_was_cut(tmp_path, version):
    for name in ("images", "splits"):
        (tmp_path / name).mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (61, 97 + i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{i}.png")
    for part, numbers in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
        (tmp_path / "splits" / f"{part}_1.txt").write_text("".join(f"{i}.png {i / 10}\n" for i in numbers))
    made = ("--weights", "untrained", "--precision", "float32", "--plan-version", version, "--out", tmp_path / "f.h5")
    assert invoke(extract, "--dataset", "lamem", "--root", tmp_path, "--augs", 0, *made).exit_code == 0
    small = ("--epochs", 1, "--hidden", 8, "--device", "cpu", "--out", tmp_path / "run")
    assert invoke(head, "train", "--features", tmp_path / "f.h5", *small).exit_code == 0
    words = ("--head", tmp_path / "run", "--weights", "untrained", "--device", "cpu", "--out", tmp_path / "s.csv")
    result = invoke(head, "predict", tmp_path / "images", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    with open(tmp_path / "s.csv", newline="") as file:
        found = [float(row["score"]) for row in csv.DictReader(file)]
    wanted = load_head(tmp_path / "run").predict(Collection(tmp_path / "f.h5").read_dequantised(range(6))).score
    assert found == pytest.approx(wanted.tolist(), abs=2e-4)


def test_predict_leaves_nothing_behind(predict, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert predict(trained / "images" / "0.png").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_what_amnet_extract_refuses_is_said_once(trained, tmp_path, capfd):
    words = (trained / "images" / "0.png", "--head", trained / "run", "--weights", tmp_path / "none.pth")
    result = invoke(head, "predict", *words)
    assert result.exit_code == 2
    assert result.stderr == ""
    assert "none.pth', which is neither" in capfd.readouterr().err  # amnet-extract has said it, in one line


def test_predict_without_photographs_is_one_line(predict, tmp_path):
    result = predict(tmp_path / "none.jpg")
    assert result.exit_code == 2
    assert (
        result.stderr == f"main predict: predict: expected image files or folders, found none at {tmp_path}/none.jpg\n"
    )
