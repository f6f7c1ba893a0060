"""Folds of a collection: its own scores or a table's, files of one content together, written by relabel."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.collection.folding import folded, folds_of, recorded_folding
from amnet_common.collection.joining import link, relabel
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.datasets.folds import Folding, times_tested
from amnet_common.images.source import read_source

IDS = tuple(f"{row:02}.jpg" for row in range(30))


@pytest.fixture
def rated(tmp_path, spec):
    """Thirty pending images with scores, of which the first six are two files, three times each."""
    scores = np.random.default_rng(1).normal(size=30)
    create_skeleton(tmp_path / "r.h5", Dataset("csv", tmp_path, IDS, scores=scores), 2, spec, {}, {})
    with RowWriter(tmp_path / "r.h5") as writer:
        for row in range(6):
            writer.fail(row, ImageFacts(sha256=bytes([1 + row % 2]) * 32), "too large")
    return tmp_path / "r.h5"


def cache(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def lists_of(collection):
    """The lists by names of images, whatever the order of the rows."""
    return {
        name: {collection.ids[row]: score for row, score in zip(split.rows, split.scores, strict=True)}
        for name, split in collection.splits.items()
    }


def test_files_of_one_content_stand_in_one_list(rated):
    lists = folded(Collection(rated), Folding()).splits
    for k in range(1, 6):
        for rows in ({0, 2, 4}, {1, 3, 5}):
            assert sum(bool(rows & set(lists[f"{part}_{k}"].rows.tolist())) for part in ("train", "val", "test")) == 1


def test_relabel_writes_the_folds_of_the_collections_own_scores(rated, tmp_path):
    result = cache("relabel", rated, "--folds", 5, "--out", tmp_path / "f.h5")
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == f"{tmp_path}/f.h5: 30 images: 0 done, 6 failed, 24 pending; 30 images have a score"
    assert second.startswith(f"{tmp_path}/f.h5: 5 folds of these 30, seed 0; test_1 (6), ")
    made, begun = Collection(tmp_path / "f.h5"), folded(Collection(rated), Folding())
    assert lists_of(made) == lists_of(begun)
    assert times_tested(made.splits) == 1
    assert recorded_folding(made.provenance) == recorded_folding(begun.provenance) == Folding()
    assert Collection(rated).splits == {}


def test_a_table_in_another_order_gives_the_same_folds_and_its_own_lists_give_way(rated, tmp_path):
    scores = dict(zip(IDS, Collection(rated).labels.tolist(), strict=True))
    for name, ids in (("up", IDS), ("down", IDS[::-1])):
        lines = [f"{id_},{scores[id_]!r},{('train', 'test')[place % 2]}" for place, id_ in enumerate(ids)]
        (tmp_path / f"{name}.csv").write_text("id,score,split\n" + "\n".join(lines))
        words = ("--labels", tmp_path / f"{name}.csv", "--folds", 3, "--repeats", 2, "--seed", 4)
        assert cache("relabel", rated, *words, "--out", tmp_path / f"{name}.h5").exit_code == 0
    up, down = (lists_of(Collection(tmp_path / f"{name}.h5")) for name in ("up", "down"))
    assert up == down
    assert set(up) == {f"{part}_{k}" for part in ("train", "val", "test") for k in range(1, 7)}


def test_images_of_a_group_of_the_table_stay_together(rated, tmp_path):
    groups = {id_: f"scene {row % 7}" if row < 28 else "" for row, id_ in enumerate(IDS)}
    (tmp_path / "g.csv").write_text(
        "id,score,scene\n" + "".join(f"{i},{n},{g}\n" for n, (i, g) in enumerate(groups.items()))
    )
    words = ("--labels", tmp_path / "g.csv", "--folds", 5, "--group", "scene")
    result = cache("relabel", rated, *words, "--out", tmp_path / "g.h5")
    assert result.exit_code == 0, result.output
    made = Collection(tmp_path / "g.h5")
    assert made.provenance["group"] == "scene"
    for k in range(1, 6):
        named = [{groups[id_] for id_ in lists_of(made)[f"{part}_{k}"]} - {""} for part in ("train", "val", "test")]
        assert len(set().union(*named)) == sum(map(len, named))


def test_other_lists_are_not_said_to_be_folds(rated, tmp_path):
    (tmp_path / "l.csv").write_text("id,score,split\n00.jpg,1,train\n01.jpg,2,test\n")
    dealt = relabel(rated, None, tmp_path / "f.h5", Folding())
    assert recorded_folding(relabel(dealt.path, tmp_path / "l.csv", tmp_path / "l.h5").provenance) is None
    assert recorded_folding(link([dealt.path], tmp_path / "j.h5").collection.provenance) is None
    assert recorded_folding({"folding": {"folds": "five"}}) is recorded_folding({"folding": []}) is None


def test_an_image_with_two_groups_is_refused(rated, tmp_path):
    lines = [f"{id_},{row},{person}" for row, id_ in enumerate(IDS) for person in ("ann", "bob")]
    (tmp_path / "l.csv").write_text("id,score,participant\n" + "\n".join(lines))
    words = ("--labels", tmp_path / "l.csv", "--folds", 5, "--group", "participant", "--out", tmp_path / "n.h5")
    result = cache("relabel", rated, *words)
    assert result.exit_code == 2
    assert "l.csv:3: expected one participant for '00.jpg', found 'bob' beside 'ann'" in result.stderr
    assert not (tmp_path / "n.h5").exists()


@pytest.mark.parametrize(("words", "message"), [
    ((), "Missing option '--labels'"),
    (("--folds", 20), "expected at least 40 images with a score for 20 folds, found 30"),
    (("--folds", 5, "--group", "scene"), "--group scene: expected --labels TABLE"),
    (("--labels", "l.csv", "--seed", 3), "expected --folds with --repeats, --seed or --group, found none"),
    (("--labels", "l.csv", "--folds", 5, "--group", "person"), "--group person: expected the name of a column"),
    (("--labels", "l.csv", "--folds", 5, "--group", "scene"), "--group scene: expected a group for some images"),
])  # fmt: skip
def test_what_cannot_be_dealt_is_one_line_and_leaves_no_file(rated, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.csv").write_text("id,score,scene\n" + "".join(f"{id_},{row},\n" for row, id_ in enumerate(IDS)))
    result = cache("relabel", rated, *words, "--out", "n.h5")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "n.h5").exists()


def test_images_that_pairs_join_stand_in_one_list_also_by_way_of_others(rated):
    lists = folds_of(Collection(rated), Collection(rated).labels, Folding(), twins=[(10, 20), (29, 20), (11, 12)])
    for k in range(1, 6):
        for rows in ({10, 20, 29}, {11, 12}):
            assert sum(bool(rows & set(lists[f"{part}_{k}"].rows.tolist())) for part in ("train", "val", "test")) == 1
    assert lists_equal(folds_of(Collection(rated), Collection(rated).labels, Folding(), twins=[]),
                       folded(Collection(rated), Folding()).splits)  # fmt: skip


def lists_equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name].rows, other[name].rows) for name in one)


def test_look_alikes_stay_together_where_they_are_asked_to(make_collection, tmp_path):
    random = np.random.default_rng(3)
    images = [Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((400, 300)) for _ in range(11)]
    ids = tuple(f"{row:02}.png" for row in range(12))
    path = make_collection(ids, views=1, scores=np.arange(12) / 12)
    with RowWriter(path) as writer:
        for row, id_ in enumerate(ids):
            (images[row] if row < 11 else images[0].resize((200, 150))).save(tmp_path / id_)
            source = read_source(tmp_path / id_)
            facts = ImageFacts(sha256=source.sha256, size=source.size, mtime_ns=source.mtime_ns, width=400, height=300)
            writer.write_view(row, 0, np.zeros((14, 14, 1024), np.float16))
            writer.finish(row, facts, np.zeros((1, 5), np.float32))
    words = ("--folds", 5, "--look-alikes", "--images", tmp_path, "--out", tmp_path / "f.h5")
    result = cache("relabel", path, *words)
    assert result.exit_code == 0, result.output
    assert "note: 1 pairs of images are the same or look so, and stay together\n" in result.stderr
    made = Collection(tmp_path / "f.h5")
    assert made.provenance["look_alikes"] == 1
    tests = [{*made.splits[f"test_{k}"].rows.tolist()} for k in range(1, 6)]
    assert sum({0, 11} <= rows for rows in tests) == 1


def test_look_alikes_without_folds_are_refused(rated, tmp_path):
    result = cache("relabel", rated, "--labels", tmp_path / "t.csv", "--look-alikes", "--out", tmp_path / "f.h5")
    assert result.exit_code == 2
    assert "relabel: expected --folds with --look-alikes, found none" in result.stderr
