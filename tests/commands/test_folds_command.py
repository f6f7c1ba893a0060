"""Ratings without lists: train, sweep, baseline and evaluate deal the same folds, and every image is predicted once."""

import csv
import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from headtrain.cli import main

COUNT = 24
IDS = tuple(f"{row:02}.jpg" for row in range(COUNT))
SCORES = np.random.default_rng(5).uniform(1, 7, COUNT)
SMALL = ("--hidden", 8, "--regress-hidden", 4, "--no-attention", "--epochs", 2, "--device", "cpu", "--no-compile")
SAID = "has no lists: 3 folds of its 24 scored images, seed 0; amnet-cache relabel --folds keeps them"


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def columns(path):
    """A table by its columns."""
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    return {name: [line[name] for line in lines] for name in lines[0]}


def make_rated(path, spec, root):
    """A collection of images with scores and no lists, whose features tell the score."""
    create_skeleton(path, Dataset("csv", root, IDS, scores=SCORES), 1, spec, {}, {})
    with RowWriter(path) as writer:
        for row in range(COUNT):
            features = np.random.default_rng(row).random(VIEW_SHAPE, np.float32).astype(np.float16)
            features[..., :512] += SCORES[row] / 3
            writer.write_view(row, 0, features)
            facts = ImageFacts(sha256=bytes([row + 1]) * 32, width=30, height=20)
            writer.finish(row, facts, np.array([[0, 0, 20, 30, 0]]))
    return path


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    from amnet_common.collection.spec import Spec

    folder = tmp_path_factory.mktemp("rated")
    spec = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 0}, 0, "float32", "float16")
    return make_rated(folder / "r.h5", spec, folder)


@pytest.fixture(scope="module")
def trained(rated):
    """The heads of three folds, and baselines on the same."""
    folder = rated.parent
    words = ("train", "--features", rated, "--folds", 3)
    first = done(*words, "--out", folder / "t", *SMALL)
    done("baseline", "--features", rated, "--folds", 3, "--out", folder / "b")
    return folder, first


def test_training_says_what_it_deals_and_trains_all_folds(trained, rated):
    folder, said = trained
    assert f"{rated} {SAID}\n" in said.stderr
    assert sorted(path.name for path in folder.glob("t/split-*")) == ["split-1", "split-2", "split-3"]
    assert json.loads((folder / "t/split-2/run.json").read_text())["folding"] == {"folds": 3, "repeats": 1, "seed": 0}
    assert f"{folder}/t: mean of 3 folds: test rho " in said.stderr
    assert "(Nadeau and Bengio's corrected variance)" in said.stderr


def test_every_image_is_predicted_by_the_head_that_has_not_seen_it(trained):
    folder, said = trained
    table = columns(folder / "t/out_of_fold.csv")
    assert list(table) == ["id", "human", "predicted", "fold"]
    assert table["id"] == list(IDS)
    assert [float(score) for score in table["human"]] == SCORES.tolist()
    for k in "123":
        of_fold = columns(folder / f"t/split-{k}/test.csv")
        mine = [(i, p) for i, p, fold in zip(table["id"], table["predicted"], table["fold"], strict=True) if fold == k]
        assert sorted(mine) == sorted(zip(of_fold["id"], of_fold["predicted"], strict=True))
    rho = stats.spearmanr([float(p) for p in table["predicted"]], SCORES).statistic
    assert f"{folder}/t/out_of_fold.csv: rho {rho:.4f} [" in said.stdout


def test_heads_and_baselines_stand_on_the_same_lists(trained):
    folder, _ = trained
    found = done("compare", folder / "t", folder / "b/ridge")
    assert f"{COUNT} images in 3 splits" in found.stdout
    assert "mean difference of 3 folds: rho " in found.stderr
    one, other = (columns(folder / name / "out_of_fold.csv") for name in ("t", "b/moments-kernel"))
    assert (one["id"], one["human"], one["fold"]) == (other["id"], other["human"], other["fold"])


def test_evaluation_deals_as_the_run_was_dealt(trained, rated, tmp_path):
    folder, _ = trained
    found = done("evaluate", "--features", rated, "--head", folder / "t", "--out", tmp_path / "e")
    assert SAID in found.stderr
    ours, theirs = columns(tmp_path / "e/out_of_fold.csv"), columns(folder / "t/out_of_fold.csv")
    assert ours["fold"] == theirs["fold"]
    assert [float(p) for p in ours["predicted"]] == pytest.approx([float(p) for p in theirs["predicted"]], rel=1e-5)


def test_other_commands_take_such_runs(trained, rated, tmp_path):
    folder, _ = trained
    assert "mean of 3 folds: test rho" in done("runs", folder / "t", "--summary", "--test").stderr
    assert f"{folder}/t: mean of 3 folds" in done("table", folder / "t").stderr
    done("report", folder / "t", "--features", rated, "--out", tmp_path / "r.html")
    assert "mean of 3 folds: test rho" in (tmp_path / "r.html").read_text()
    done("figure", "slope", folder / "t/split-2", "--out", tmp_path / "s.png")
    listed = done("test", "--features", rated, "--head", folder / "t/split-2", "--list", "test_2", "--device", "cpu")
    assert "all: rho" in listed.stdout
    assert listed.stderr.startswith("8 images\n")


def test_a_resumed_training_keeps_its_folds_and_its_table(trained, rated):
    folder, _ = trained
    before = (folder / "t/out_of_fold.csv").read_bytes()
    (folder / "t/out_of_fold.csv").unlink()
    again = done("train", "--features", rated, "--out", folder / "t", "--resume", *SMALL)
    assert SAID in again.stderr
    assert (folder / "t/out_of_fold.csv").read_bytes() == before
    other = run("train", "--features", rated, "--out", folder / "t", "--resume", "--folds", 4, *SMALL)
    assert other.exit_code == 2
    assert "is another run" in other.stderr


def test_folds_that_are_tested_later_give_the_same_table(trained, rated, tmp_path):
    folder, _ = trained
    done("train", "--features", rated, "--folds", 3, "--no-test", "--out", tmp_path / "n", *SMALL)
    assert not (tmp_path / "n/out_of_fold.csv").exists()
    later = done("test", tmp_path / "n", "--device", "cpu")
    assert f"{tmp_path}/n/out_of_fold.csv: rho " in later.stdout
    assert (tmp_path / "n/out_of_fold.csv").read_bytes() == (folder / "t/out_of_fold.csv").read_bytes()


def test_folds_of_relabel_are_those_that_training_deals(trained, rated, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setenv("AMNET_LINK_ROOTS", str(folder))
    words = ["relabel", str(rated), "--folds", "3", "--out", str(tmp_path / "f.h5")]
    assert CliRunner().invoke(cache, words).exit_code == 0
    done("train", "--features", tmp_path / "f.h5", "--out", tmp_path / "t", *SMALL)  # all folds here too
    assert (tmp_path / "t/out_of_fold.csv").read_bytes() == (folder / "t/out_of_fold.csv").read_bytes()
    images = [json.loads((one / "split-3/run.json").read_text())["images"] for one in (tmp_path / "t", folder / "t")]
    assert images[0] == images[1]


def test_scores_tell_the_list_and_the_human_score_and_rho_of_the_test_images_alone(trained, rated, tmp_path):
    folder, _ = trained
    words = (
        "score",
        "--features",
        rated,
        "--head",
        folder / "t/split-2",
        "--device",
        "cpu",
        "--out",
        tmp_path / "s.csv",
    )
    said = done(*words)
    table, test = columns(tmp_path / "s.csv"), columns(folder / "t/split-2/test.csv")
    assert list(table)[-3:] == ["collection", "split", "human"]
    assert [float(score) for score in table["human"]] == pytest.approx(SCORES, rel=1e-8)
    assert {id_ for id_, name in zip(table["id"], table["split"], strict=True) if name == "test"} == set(test["id"])
    count = {name: table["split"].count(name) for name in ("train", "val", "test")}
    assert sum(count.values()) == COUNT
    rows = [row for row, name in enumerate(table["split"]) if name == "test"]
    rho = stats.spearmanr([float(table["score"][i]) for i in rows], SCORES[rows]).statistic
    left = f"{count['train']} training and {count['val']} validation images are left out"
    assert f"{tmp_path}/s.csv: rho {rho:.4f} [" in said.stdout
    assert said.stdout.endswith(f"with people's scores on its 8 test images; {left}\n")


def test_a_table_of_scores_that_is_evaluated_says_what_its_heads_were_trained_on(trained, rated, tmp_path):
    folder, _ = trained
    words = ("score", "--features", rated, "--head", folder / "t/split-2", "--device", "cpu")
    done(*words, "--out", tmp_path / "s.csv")
    count = columns(tmp_path / "s.csv")["split"].count("train")
    said = done("evaluate", "--features", rated, "--folds", 3, "--scores", tmp_path / "s.csv", "--out", tmp_path / "e")
    assert f"note: {tmp_path}/s.csv: {count} rows are of images that what scored them was trained on" in said.stderr
    assert not (tmp_path / "e/out_of_fold.csv").exists()


def test_an_ensemble_of_all_folds_has_no_test_images(trained, rated, tmp_path):
    folder, _ = trained
    said = done("score", "--features", rated, "--head", folder / "t", "--out", tmp_path / "s.csv", "--device", "cpu")
    assert set(columns(tmp_path / "s.csv")["split"]) == {"train"}
    assert "has no test images of these heads (24 training and 0 validation images are left out)" in said.stderr


def test_images_trained_on_are_known_in_a_collection_with_other_lists(trained, rated, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setenv("AMNET_LINK_ROOTS", str(folder))
    (tmp_path / "l.csv").write_text("id,score,split\n" + "".join(
        f"{id_},{n},{('train', 'val', 'test')[n % 3]}\n" for n, id_ in enumerate(IDS)))  # fmt: skip
    words = ["relabel", str(rated), "--labels", str(tmp_path / "l.csv"), "--out", str(tmp_path / "l.h5")]
    assert CliRunner().invoke(cache, words).exit_code == 0
    words = ("score", "--head", folder / "t/split-1", "--device", "cpu")
    done(*words, "--features", tmp_path / "l.h5", "--out", tmp_path / "other.csv")
    done(*words, "--features", rated, "--out", tmp_path / "own.csv")
    other, own = (columns(tmp_path / name) for name in ("other.csv", "own.csv"))
    assert [name if name == "train" else "" for name in own["split"]] == other["split"]
    assert [float(score) for score in other["human"]] == list(range(COUNT))


def test_a_table_begun_without_these_columns_goes_on_without(trained, rated, tmp_path):
    folder, _ = trained
    out = tmp_path / "s.csv"
    words = ("score", "--features", rated, "--head", folder / "t/split-1", "--device", "cpu", "--out", out)
    done(*words)
    cut = "\n".join(",".join(line.split(",")[:-2]) for line in out.read_text().splitlines()) + "\n"
    out.write_bytes(cut.replace("\n", "\r\n").encode())
    known = json.loads((tmp_path / "s.csv.json").read_text())
    del known["columns"]
    known["sha256"] = hashlib.sha256(out.read_bytes()).hexdigest()
    (tmp_path / "s.csv.json").write_text(json.dumps(known))
    before = out.read_bytes()
    said = done(*words, "--append")
    assert out.read_bytes() == before
    assert f"note: {out} was begun without the columns split and human" in said.stderr


def test_repeats_average_the_predictions_of_an_image(rated, tmp_path):
    printed = done("baseline", "--features", rated, "--folds", 2, "--repeats", 2, "--out", tmp_path / "b").stdout
    assert f"{tmp_path}/b/ridge/out_of_fold.csv: rho " in printed
    assert "constant/out_of_fold.csv" not in printed  # its rho is not defined
    table = columns(tmp_path / "b/ridge/out_of_fold.csv")
    tests = [columns(tmp_path / f"b/ridge/split-{k}/test.csv") for k in (1, 2, 3, 4)]
    said = [dict(zip(one["id"], map(float, one["predicted"]), strict=True)) for one in tests]
    for id_, predicted, fold in zip(table["id"], table["predicted"], table["fold"], strict=True):
        one, two = (int(k) for k in fold.split())
        assert (one in (1, 2), two in (3, 4)) == (True, True)
        assert float(predicted) == pytest.approx((said[one - 1][id_] + said[two - 1][id_]) / 2)


def test_a_sweep_keeps_a_table_for_each_configuration(rated, tmp_path):
    words = ("sweep", "--features", rated, "--folds", 2, "--grid", "lr=1e-3,1e-2", "--out", tmp_path / "s", *SMALL)
    found = done(*words)
    tables = sorted(tmp_path.glob("s/*/out_of_fold.csv"))
    assert len(tables) == 2
    assert "out-of-fold predictions of 2 configurations" in found.stderr
    assert columns(tables[0])["fold"] == columns(tables[1])["fold"]


def test_one_fold_alone_has_no_table(rated, tmp_path):
    done("train", "--features", rated, "--split", 2, "--out", tmp_path / "r", *SMALL)
    assert json.loads((tmp_path / "r/run.json").read_text())["split"] == 2
    assert not (tmp_path / "r/out_of_fold.csv").exists()


def test_a_single_split_of_many_images_is_one_run(rated, tmp_path):
    said = done("train", "--features", rated, "--folds", 1, "--out", tmp_path / "r", *SMALL)
    assert "has no lists: one split of 70, 10 and 20 % of its 24 scored images, seed 0" in said.stderr
    assert (tmp_path / "r/test.csv").exists()


@pytest.mark.parametrize("command", ["train", "sweep", "baseline", "evaluate"])
@pytest.mark.parametrize("option", ["--folds", "--repeats"])
def test_folds_beside_lists_are_refused_in_one_line(features, tmp_path, command, option):
    more = {"sweep": ("--grid", "lr=1"), "evaluate": ("--head", "none")}.get(command, ())
    found = run(command, "--features", features, option, 2, "--out", tmp_path / "o", *more)
    assert found.exit_code == 2
    line = f"{command}: {option} 2: expected a collection without lists, found 6 lists in {features}; "
    assert found.stderr.endswith(f"{line}amnet-cache relabel --folds deals others\n")
    assert not (tmp_path / "o").exists()


def test_too_few_images_are_one_line(make_collection, tmp_path):
    few = make_collection(scores=np.arange(4.0), done=range(4))
    found = run("train", "--features", few, "--out", tmp_path / "o", *SMALL)
    assert found.exit_code == 2
    assert found.stderr == f"main train: {few}: expected at least 10 images with a score for 5 folds, found 4\n"


def test_a_collection_without_scores_is_refused_as_before(make_collection, tmp_path):
    bare = make_collection(done=range(4))
    assert np.isnan(Collection(bare).labels).all()
    found = run("baseline", "--features", bare, "--out", tmp_path / "o")
    assert f"{bare}: expected split lists, found none; amnet-cache relabel gives it some" in found.stderr
