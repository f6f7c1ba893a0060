"""Heads of several collections together, through the commands: train, resume, score, evaluate and the rest."""

import csv
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from killed_training import kill_in_the_second_epoch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from amnet_common.collection import Collection, JoinedCollection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from headtrain.cli import main
from headtrain.heads import own
from headtrain.heads.checkpoint import load_head
from headtrain.leaderboard.listing import listed
from headtrain.scoring.scores import score_collection

COUNT = 20
IDS = tuple(f"{row:02}.jpg" for row in range(COUNT))
LISTS = {"train_1": range(12), "val_1": range(12, 16), "test_1": range(16, 20)}
SCORES = np.linspace(0.2, 0.9, COUNT)
PAGE = (Path(__file__).parents[2] / "docs" / "several-collections.md").read_text(encoding="utf-8")
SMALL = ("--epochs", 2, "--hidden", 8, "--regress-hidden", 4, "--batch-size", 8, "--least-updates", 0, "--no-compile",
         "--device", "cpu")  # fmt: skip
A, B = ("--features", "a.h5"), ("--features", "b.h5")
HEAD = """
import torch
from torch import nn
import amnet

class Plain(amnet.Head):
    def __init__(self, config):
        super().__init__(config)
        self.out = nn.Linear(config.channels, 1)

    def forward(self, x, noise):
        x = self.standardised(x)
        attention = torch.softmax(x.mean(2), 1)
        return self.single(self.out(x.mean(1)).squeeze(1), attention)
"""


@pytest.fixture
def make(spec):
    """make(name, shape, order, ...): a collection of twenty images, its rows in that order."""

    def make(name, shape, order=range(COUNT), views=2, lists=LISTS, scores=SCORES, done=None, plan="standard"):
        of = replace(spec, trunk=f"net-{name}", view_shape=shape, view_plan={"name": plan, "augs": views - 1})
        order = [*order]
        row_of = {number: row for row, number in enumerate(order)}
        splits = {key: SplitList(np.array([row_of[k] for k in some if k in row_of]),
                                 scores[[k for k in some if k in row_of]]) for key, some in lists.items()}  # fmt: skip
        ids = tuple(IDS[number] for number in order)
        create_skeleton(Path(f"{name}.h5"), Dataset("test", Path("p"), ids, splits, scores[order]), views, of, {}, {})
        with RowWriter(Path(f"{name}.h5")) as writer:
            for number in order if done is None else done:
                for view in range(views):
                    draw = np.random.default_rng([*name.encode(), number, view])
                    writer.write_view(row_of[number], view, draw.normal(scores[number], 1, shape).astype(np.float16))
                sha = bytes([number + 1]) * 32
                box = np.tile(np.float32([0, 0, 40, 60, 0]), (views, 1))
                writer.finish(row_of[number], ImageFacts(width=60, height=40, sha256=sha), box)
        return Collection(f"{name}.h5")

    return make


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own, "NAMED", {})
    monkeypatch.setattr(own, "NAMED_AS", {})
    return tmp_path


@pytest.fixture
def two(make):
    """Of one grid, their rows in other orders."""
    return make("a", (4, 6, 16)), make("b", (4, 6, 8), reversed(range(COUNT)))


def run(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def train(*words, **more):
    return run("train", *words, *SMALL, **more)


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def equal(one, other):
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_train_score_evaluate_test_attend_and_report(two, here):
    train(*A, *B, "--out", "ab")
    begun = json.loads((here / "ab/run.json").read_text())
    joined = JoinedCollection(two)
    assert (begun["features"], begun["joined_with"]) == (str(here / "a.h5"), [str(here / "b.h5")])
    assert begun["fingerprint"] == joined.spec.fingerprint
    head = load_head("ab")
    assert (head.config.locations, head.config.channels) == (24, 24)

    by_hand = {}  # joined in NumPy, image by image, and scored through nothing that joins
    for id_ in IDS:
        x = [one.read_dequantised([one.ids.index(id_)])[0] for one in two]
        by_hand[id_] = head.predict(np.concatenate(x, 2)[None]).score.item()
    run("score", *A, *B, "--head", "ab", "--out", "s.csv", "--precision", "float32")
    found = table("s.csv")
    assert [*found] == [*IDS]
    np.testing.assert_allclose([float(found[id_]["score"]) for id_ in IDS], [*by_hand.values()], atol=1e-5)
    assert {row["collection"] for row in found.values()} == {"a.h5 + b.h5"}
    np.testing.assert_allclose(score_collection(head, joined).score, [*by_hand.values()], atol=1e-5)

    tested = table("ab/test.csv")
    np.testing.assert_allclose([float(row["predicted"]) for row in tested.values()],
                               [by_hand[id_] for id_ in tested], atol=1e-5)  # fmt: skip
    run("evaluate", *A, *B, "--head", "ab", "--split", 1, "--out", "again")
    again = table("again/split-1/test.csv")
    assert [row["predicted"][:7] for row in again.values()] == [row["predicted"][:7] for row in tested.values()]
    pytest.importorskip("matplotlib")
    run("attend", *B, *A, "--head", "ab", "03.jpg", "--out", "p.png", "--maps", "m.npy")
    assert np.load("m.npy").shape == (1, 3, 4, 6)
    run("report", "ab", *A, *B, "--out", "p.html")
    assert "net-b" in (here / "p.html").read_text()
    run("figure", "slope", "ab", "--out", "slope.png")
    assert "net-a" in run("show", "ab").output
    assert "net-b" in run("show", "ab").output
    text = run("methods", "ab").output
    assert "net-a" in text
    assert "the channels of the 2 networks or view plans stood one after the other" in " ".join(text.split())
    assert "8 images" in run("test", *A, *B, "--head", "ab").stderr


@pytest.mark.usefixtures("two")
def test_files_in_another_order_are_put_in_that_of_the_head():
    train(*A, *B, "--out", "ab")
    for words, name in ((A + B, "one.csv"), (B + A, "other.csv")):
        run("score", *words, "--head", "ab", "--out", name)
    one, other = table("one.csv"), table("other.csv")
    assert one == other
    run("score", *B, *A, "--head", "ab", "--out", "one.csv", "--append")
    assert table("one.csv") == other
    for words, found in ((B + A, "b.h5 + a.h5"), (A, "a.h5")):
        said = run("train", *words, "--out", "ab", "--resume", *SMALL, status=2).stderr
        line = said.strip().splitlines()[-1]
        assert re.search(r"ab is another run: expected --features \S+/a\.h5 --features \S+/b\.h5, in this order", line)
        assert line.endswith(f"found {found}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (A, "--head ab: expected --features of each of the 2 collections that it was trained on together (net-a "),
        ((*A, "--features", "c.h5"), "found a.h5, c.h5 without net-b 000000000000, views standard"),
        ((*A, *B, "--features", "c.h5"), "--features c.h5: expected the 2 collections that ab was trained on together"),
    ],
)
@pytest.mark.usefixtures("two")
def test_other_collections_than_those_of_the_head_are_refused_in_one_line(make, words, said):
    make("c", (4, 6, 8))
    train(*A, *B, "--out", "ab")
    commands = [("score", *words, "--head", "ab", "--out", "s.csv"), ("test", *words, "--head", "ab"),
                ("attend", *words, "--head", "ab", "03.jpg"), ("report", *words, "ab")]  # fmt: skip
    if "c.h5" not in words or "b.h5" not in words:
        commands.append(("evaluate", *words, "--head", "ab", "--out", "e"))
    for command in commands:
        line = run(*command, status=2).stderr.strip().splitlines()[-1]
        assert said in line


def test_a_head_of_one_collection_does_not_read_several_of_as_many_channels(make):
    make("a", (4, 6, 16)), make("b", (4, 6, 8)), make("c", (4, 6, 24))
    train("--features", "c.h5", "--out", "c")
    said = run("attend", *A, *B, "--head", "c", "03.jpg", status=2).stderr
    assert "--features: expected one collection, as c was not trained on several together, found 2" in said
    with pytest.raises(Exception, match="expected the one collection that the head was trained on, found 2 together"):
        score_collection(load_head("c"), JoinedCollection([Collection("a.h5"), Collection("b.h5")]))
    train(*A, *B, "--out", "ab")
    with pytest.raises(Exception, match="expected the 2 collections that the head was trained on together"):
        score_collection(load_head("ab"), Collection("c.h5"))
    with pytest.raises(Exception, match=r"in their order .* found others: b\.h5: trunk: expected net-a, found net-b"):
        score_collection(load_head("ab"), JoinedCollection([Collection("b.h5"), Collection("a.h5")]))
    said = run("score", *A, *B, "--head", "ab", "--head", "c", "--out", "s.csv", status=2).stderr
    assert "c: expected heads of the same features, found this one of one collection beside ab of several" in said


@pytest.mark.usefixtures("two")
def test_heads_of_one_and_of_several_stand_in_one_ensemble():
    train(*A, "--out", "a")
    train(*B, "--out", "b")
    train(*A, *B, "--out", "ab")
    heads = [word for name in ("a", "b", "ab") for word in ("--head", name)]
    said = run("evaluate", *A, *B, *heads, "--split", 1, "--out", "e").stderr
    for line in ("a reads a.h5", "b reads b.h5", "ab reads a.h5 + b.h5"):
        assert f"split 1: {line}" in said
    each = [table(f"{name}/test.csv") for name in ("a", "b", "ab")]
    for id_, row in table("e/split-1/test.csv").items():
        mean = np.mean([float(one[id_]["predicted"]) for one in each])
        assert float(row["predicted"]) == pytest.approx(mean, abs=2e-6)
    result = json.loads(Path("e/split-1/metrics.json").read_text())
    assert [path.rpartition("/")[2] for path in (result["features"], *result["other_features"])] == ["a.h5", "b.h5"]


@pytest.mark.parametrize(("residency", "shape"), [("ram", (4, 6, 8)), ("disk", (2, 5, 8))])
def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(make, monkeypatch, residency, shape):
    make("a", (4, 6, 16)), make("b", shape, reversed(range(COUNT)))
    words = (*A, *B, "--residency", residency)
    train(*A, *B, "--out", "whole")
    with monkeypatch.context() as patched:
        kill_in_the_second_epoch(patched)
        train(*words, "--out", "killed", status=130)
    train(*words, "--out", "killed", "--resume")
    for name in ("best", "last"):
        assert equal(f"killed/{name}.safetensors", f"whole/{name}.safetensors")


def test_an_image_that_one_lacks_is_told_and_left_out_as_others_without_features(make):
    make("a", (4, 6, 16)), make("b", (4, 6, 8), [*range(7), *range(8, COUNT)])
    said = train(*A, *B, "--out", "ab", status=2).stderr
    assert "note: b.h5 lacks 1 of 20 images, such as 07.jpg: they count as images without features" in said
    assert "expected features of all 20 images of the split, found 0 failed and 1 pending" in said
    said = train(*A, *B, "--allow-missing", "--out", "ab").stderr
    assert "images: 11 train (1 left out), 4 val, 4 test" in said
    run("score", *A, *B, "--head", "ab", "--out", "s.csv")
    found = table("s.csv")
    assert (found["07.jpg"]["score"], found["07.jpg"]["status"]) == ("", "pending")
    assert all(row["score"] for id_, row in found.items() if id_ != "07.jpg")


def test_scores_that_differ_are_refused_in_one_line(make):
    make("a", (4, 6, 16)), make("b", (4, 6, 8), scores=SCORES + 0.1)
    line = train(*A, *B, "--out", "ab", status=2).stderr.strip()
    assert line.startswith(
        "main train: b.h5: expected the scores of a.h5, found 20 images with others, such as 00.jpg: "
    )
    assert "amnet-cache relabel" in line
    assert "\n" not in line


def test_sweep_baselines_and_a_kernel_on_several(two):
    run("sweep", *A, *B, "--grid", "lr=1e-3,1e-4", "--split", 1, "--out", "sweep", *SMALL)
    run("sweep", *A, *B, "--grid", "lr=1e-3,1e-4", "--split", 1, "--out", "sweep", "--resume", *SMALL)
    run("baseline", *A, *B, "--out", "base")
    run("score", *B, *A, "--head", "base/moments-kernel", "--out", "s.csv")
    joined = JoinedCollection(two)
    x = np.stack([joined.read_dequantised(np.arange(COUNT), view) for view in range(2)])
    kernel = load_head("base/moments-kernel/split-1")
    pooled = sum(kernel.pool(torch.from_numpy(one).flatten(1, 2)) for one in x) / 2
    wanted = kernel.on_data_scale(kernel.of_pooled(pooled)).score.numpy()
    np.testing.assert_allclose([float(row["score"]) for row in table("s.csv").values()], wanted, atol=1e-5)
    assert {head.features for head in listed(Path("sweep")).heads} == {"a+b"}


def test_folds_that_are_dealt_of_both_are_found_again(make):
    make("a", (4, 6, 16), lists={}), make("b", (4, 6, 8), reversed(range(COUNT)), lists={})
    assert "a.h5 + b.h5 has no lists: 2 folds" in train(*A, *B, "--folds", 2, "--no-test", "--out", "ab").stderr
    run("test", "ab")
    run("evaluate", *A, *B, "--head", "ab", "--out", "e")
    for k in (1, 2):
        one, other = table(f"ab/split-{k}/test.csv"), table(f"e/split-{k}/test.csv")
        assert one.keys() == other.keys()
        assert all(float(one[id_]["predicted"]) == pytest.approx(float(other[id_]["predicted"])) for id_ in one)


def test_a_head_of_ones_own_and_other_grids_and_plans(make, here):
    (here / "mine.py").write_text(HEAD)
    make("a", (4, 6, 16), views=3), make("b", (2, 6, 8), reversed(range(COUNT)), plan="squash264")
    words = (*A, *B, "--arch", "mine.py:Plain", "--epochs", 2, "--no-compile", "--device", "cpu")
    said = run("train", *words, "--out", "own").stderr
    assert "note: grids of 4x6, 2x6: features are averaged to 2x6" in said
    assert "note: a.h5 and b.h5 cut their views otherwise (" in said
    pytest.importorskip("matplotlib")
    run("attend", *A, *B, "--head", "own", "--arch", "mine.py:Plain", "03.jpg", "--maps", "m.npy")
    first = Collection("a.h5").read_dequantised([3])[0].reshape(2, 2, 6, 16).mean(1)
    second = Collection("b.h5")
    x = np.concatenate([first, second.read_dequantised([second.ids.index("03.jpg")])[0]], 2)
    wanted = load_head("own").predict(x[None]).attention.reshape(1, 1, 2, 6)
    np.testing.assert_allclose(np.load("m.npy"), wanted, rtol=1e-5)


@pytest.mark.usefixtures("two")
def test_what_cuts_photographs_itself_refuses_such_a_head(here):
    train(*A, *B, "--out", "ab")
    (here / "x.jpg").write_bytes(b"")
    said = run("predict", "x.jpg", "--head", "ab", status=2).stderr
    assert "predict: expected heads of one collection, found ab of 2 together (net-a 000000000000, views" in said
    assert "app: expected heads of one collection, found ab of 2" in run("app", "--head", "ab", status=2).stderr


def test_the_commands_of_the_page_do_what_it_says(make, here):
    pytest.importorskip("matplotlib")
    make("lamem", (14, 14, 32)), make("lamem-vit", (14, 14, 24), reversed(range(COUNT)))
    for line in [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]:
        name, *words = shlex.split(line.replace("000.jpg", "00.jpg"))
        if name == "amnet-head":
            run(*words, *(SMALL if words[0] == "train" else ()))
    assert len(table("scores.csv")) == COUNT
    assert (here / "look.png").stat().st_size > 1000
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    said: dict = {}
    exec(code, said)
    assert said["x"].shape == (2, 14, 14, 32 + 24)
    assert said["scores"].ids == IDS


@pytest.mark.usefixtures("two")
def test_a_checkpoint_whose_collections_cannot_be_is_refused():
    train(*A, *B, "--out", "ab", "--epochs", 1)
    path = Path("ab/best.safetensors")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    for parts in (3, "ab", {}, [], [{}], [{"trunk": "a"}, 3], [{"trunk": "a"}, {"trunk": 4}]):
        save_file(load_file(path), path, metadata | {"spec": json.dumps({"joined": parts})})
        said = run("score", *A, *B, "--head", "ab", "--out", "s.csv", status=2).stderr
        assert "ab/best.safetensors: expected a head's checkpoint, found a file that is none (" in said
