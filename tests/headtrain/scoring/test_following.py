"""`score --append` of a collection that follows a folder: images come, go, and get other names and another order."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from amnet_common.collection import Collection
from amnet_common.collection.layout import HELD_ROW
from amnet_common.collection.skeleton import create_link, create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.errors import RunError
from headtrain.heads.checkpoint import BEST, save_head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.scoring.ensemble import load_ensemble
from headtrain.scoring.formats import FORMATS, read_rows
from headtrain.scoring.job import Scoring, about, write_table
from headtrain.scoring.marks import add_mark, begun_marks, marks_of, read_marks


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr("headtrain.scoring.ensemble.BATCH", 4)


@pytest.fixture
def part(spec, tmp_path):
    """Rows 0 to 5, done, under the names that they had once."""
    path = tmp_path / "part.h5"
    create_skeleton(path, Dataset("folder", tmp_path, tuple("uvwxyz")), 1, spec, {}, {})
    dice = np.random.default_rng(0)
    with RowWriter(path) as writer:
        for row in range(6):
            writer.write_view(row, 0, dice.random((14, 14, 1024)).astype(np.float16))
            writer.finish(row, ImageFacts(bytes([row]) * 32, row, row, 1, 1), np.zeros((1, 5), np.float32))
    return path


@pytest.fixture
def night(part, spec, tmp_path):
    """night({"a": 3, "b": 0}) -> the collection that has row 3 of the part as a, row 0 as b."""

    def make(rows):
        held = np.zeros(len(rows), HELD_ROW)
        held["row"] = [*rows.values()]
        sources = [(part.name, Collection(part).uuid)]
        dataset = Dataset("folder", tmp_path, tuple(rows))
        create_link(tmp_path / "photos.h5", dataset, spec, sources, {}, held, replace=True)
        return Collection(tmp_path / "photos.h5")

    return make


@pytest.fixture
def job(small, tmp_path):
    """job(collection, kind, name) -> a Scoring by one random head."""
    torch.manual_seed(0)
    head = PaperHead(small.head)
    for one in (head.regress.out.weight, head.attention.M):
        torch.nn.init.normal_(one)
    (tmp_path / "run").mkdir()
    save_head(tmp_path / "run" / BEST, head, Provenance(small, {}, 1, 1))

    def make(collection, kind="csv", name="scores"):
        return Scoring(load_ensemble([tmp_path / "run"]), [collection], tmp_path / f"{name}.{kind}", kind)

    return make


def run(one, append=False):
    return write_table(one, append, False, lambda _: None)


@pytest.mark.parametrize("kind", FORMATS)
def test_table_after_a_night_is_that_of_a_fresh_scoring(night, job, kind):
    run(job(night({"a": 0, "b": 1, "c": 2, "d": 3}), kind))
    later = night({"d": 3, "new": 4, "a": 0, "renamed": 1, "e": 5})
    counts = run(job(later, kind), append=True)
    assert (counts.kept, counts.scored, counts.gone) == (2, 3, 2)
    run(job(later, kind, "fresh"))
    assert [*read_rows(job(later, kind).out, kind, 3)] == [*read_rows(job(later, kind, "fresh").out, kind, 3)]


def test_changed_image_of_the_same_name_is_scored_anew(night, job):
    run(job(night({"a": 0, "b": 1})))
    counts = run(job(night({"a": 0, "b": 2})), append=True)
    assert (counts.kept, counts.scored, counts.gone) == (1, 1, 0)


def test_collection_that_follows_no_folder_must_still_have_every_old_image(night, job, part):
    run(job(night({"a": 0, "b": 1})))
    with pytest.raises(RunError, match="expected all images of"):
        run(job(Collection(part)), append=True)


def test_scoring_that_was_stopped_before_the_night_goes_on_as_far_as_nothing_changed(night, job, monkeypatch):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    one = job(night({"a": 0, "b": 1, "c": 2}))
    times = []

    def stop(_):
        times.append(1)
        if len(times) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(one, False, False, stop)
    later = night({"a": 0, "renamed": 1, "d": 3})
    counts = run(job(later))
    assert (counts.resumed, counts.scored) == (1, 2)
    run(job(later, name="fresh"))
    assert one.out.read_bytes() == job(later, name="fresh").out.read_bytes()


def test_mark_of_a_block_is_added_and_what_was_there_is_not_written_again(night, job, monkeypatch):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    one, seen = job(night({name: row for row, name in enumerate("abcdef")})), []

    def look(_):
        seen.append((about(one.part).stat().st_mtime_ns, marks_of(one.part).read_bytes()))

    write_table(one, False, False, look)
    assert len({when for when, _ in seen}) == 1
    for (_, before), (_, after) in pairwise(seen):
        assert after.startswith(before)
        assert after.count(b"\n") == before.count(b"\n") + 1
    assert not marks_of(one.part).exists()


@pytest.mark.parametrize(
    "tail", [b"300", b"300 1 2\n", b"nan 1\n", b"150 1\n", b"9999 1\n", b"-5 1\n", b"9" * 5000 + b" 1\n"]
)
def test_marks_are_believed_up_to_the_first_that_cannot_be_right(tmp_path, tail):
    path = tmp_path / "marks"
    with begun_marks(path, [[100, 7]]) as file:
        add_mark(file, 200, 8)
    path.write_bytes(path.read_bytes() + tail)
    assert read_marks(path, 50, 1000) == [[100, 7], [200, 8]]


def test_table_says_when_by_which_version_and_of_which_head_and_features_it_is(night, job):
    from amnet_common import __version__

    one = job(night({"a": 0}), "parquet")
    run(one)
    import pyarrow.parquet

    beside = json.loads(about(one.out).read_text())
    inside = json.loads(pyarrow.parquet.read_schema(one.out).metadata[b"amnet"])
    for said in (beside, inside):
        assert (said["amnet"], said["made"]["date"][:2]) == (__version__, "20")
        assert (len(said["heads"][0]), said["fingerprints"]) == (64, [one.collections[0].spec.fingerprint])
    assert Path(one.out).exists()
