"""Tables of scores: what stands in them, in every format, and what a kill, growth or another head does to them."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from amnet_common.collection import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError, ExistsError, RunError
from headtrain.heads.checkpoint import BEST, save_head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.scoring.ensemble import load_ensemble, mean_entropy, predict_together
from headtrain.scoring.formats import FORMATS, read_rows
from headtrain.scoring.job import ALL, Scoring, about, write_table
from headtrain.scoring.rows import FAILED, PENDING, SCORED
from headtrain.settings.configuration import override
from headtrain.settings.presets import PAPER


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    """Batches are padded to their full size: of 64 views, each would take half a second here."""
    monkeypatch.setattr("headtrain.scoring.ensemble.BATCH", 4)


@pytest.fixture
def make_run(small, tmp_path):
    """make_run(name, seed) -> the folder of a run with a random head."""

    def make(name="run", seed=0, **changes):
        config = override(small, **changes)
        torch.manual_seed(seed)
        head = PaperHead(config.head)
        for part in (head.regress.out.weight, head.attention.M):
            torch.nn.init.normal_(part)
        (tmp_path / name).mkdir(parents=True)
        save_head(tmp_path / name / BEST, head, Provenance(config, {}, 1, 1))
        return tmp_path / name

    return make


@pytest.fixture
def make_job(make_run, tmp_path):
    """make_job(collection, runs=None, **fields) -> a Scoring of view 0 into scores.csv."""

    def make(collection, runs=None, **fields):
        heads = load_ensemble(runs or [make_run(f"run-{len(list(tmp_path.iterdir()))}")])
        return replace(Scoring(heads, [collection], tmp_path / "scores.csv", "csv"), **fields)

    return make


@pytest.fixture
def collection(make_collection):
    return Collection(make_collection(done=(0, 1, 3), failed={2: "empty file, or none"}))


def run(job, append=False, overwrite=False):
    return write_table(job, append, overwrite, lambda _: None)


def table(job):
    return list(read_rows(job.out, job.kind, job.steps))


def test_each_image_has_the_score_of_its_own_features_and_steps_that_add_up(make_job, collection):
    job = make_job(collection)
    counts = run(job)
    (head,) = job.heads.values()
    rows = table(job)
    assert [row.id for row in rows] == list(collection.ids)
    for number in (0, 1, 3):
        output = head.predict(collection.read_dequantised([number]))
        assert rows[number].score == pytest.approx(output.score.item(), abs=1e-5)
        assert sum(rows[number].steps) == pytest.approx(rows[number].score, abs=1e-6)
        assert rows[number].entropy == pytest.approx(mean_entropy(output.attention).item(), abs=1e-5)
        assert rows[number].spread is None
    assert (counts.scored, counts.missing) == (3, 1)


def test_a_failed_image_keeps_its_row_with_its_reason_and_no_figure(make_job, collection):
    job = make_job(collection)
    run(job)
    with open(job.out, newline="") as file:
        line = list(csv.DictReader(file))[2]
    assert line["id"] == "c.jpg"
    assert (line["status"], line["reason"]) == (FAILED, "empty file, or none")
    assert [line[name] for name in ("score", "step_1", "step_2", "step_3", "spread", "entropy")] == [""] * 6


def test_an_ensemble_over_all_views_is_the_mean_and_the_spread(make_job, make_run, collection):
    job = make_job(collection, [make_run("a", 1), make_run("b", 2)], views=ALL)
    run(job)
    scores = [
        head.predict(collection.read_dequantised([3], view)).score.item()
        for head in job.heads.values() for view in (0, 1)
    ]  # fmt: skip
    row = table(job)[3]
    assert row.score == pytest.approx(np.mean(scores), abs=1e-5)
    assert row.spread == pytest.approx(np.std(scores, ddof=1), abs=1e-5)


def test_a_folder_of_splits_is_an_ensemble_of_its_heads(make_run, tmp_path):
    for k in (1, 2, 3):
        make_run(f"all/split-{k}", k)
    assert list(load_ensemble([tmp_path / "all"])) == [str(tmp_path / "all" / f"split-{k}") for k in (1, 2, 3)]


def test_heads_of_unequal_steps_are_refused(make_run):
    with pytest.raises(RunError, match=r"expected heads of equally many steps, found 3 of .*a, 2 of .*b"):
        load_ensemble([make_run("a"), make_run("b", steps=2)])


def test_entropy_is_1_for_uniform_attention_and_0_for_a_single_location():
    attention = torch.zeros(2, 3, 196)
    attention[0] = 1 / 196
    attention[1, :, 7] = 1
    assert mean_entropy(attention).tolist() == pytest.approx([1, 0])


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_back_what_was_written(make_job, collection, tmp_path, kind):
    job = make_job(collection, out=tmp_path / f"s.{kind}", kind=kind)
    run(job)
    rows = table(job)
    assert [row.status for row in rows] == [SCORED, SCORED, FAILED, SCORED]
    other = replace(job, out=tmp_path / "other.csv", kind="csv")
    run(other)
    for row, wanted in zip(rows, table(other), strict=True):
        assert (row.id, row.reason, row.features) == (wanted.id, wanted.reason, wanted.features)
        assert row.status != SCORED or (row.score, *row.steps) == pytest.approx((wanted.score, *wanted.steps), rel=1e-8)
    assert not job.part.exists()


def test_names_that_are_not_utf8_stand_in_a_table_that_is(make_job, make_collection):
    id_ = b"caf\xe9, 1.jpg".decode("utf-8", "surrogateescape")
    job = make_job(Collection(make_collection((id_, "b.jpg"), done=(0, 1))))
    run(job)
    assert job.out.read_text(encoding="utf-8").splitlines()[1].startswith('"caf\\xe9, 1.jpg",')
    run(job, append=True)
    assert [row.id for row in table(job)] == ["caf\\xe9, 1.jpg", "b.jpg"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_names_that_a_spreadsheet_would_compute_stand_behind_an_apostrophe_if_asked(make_job, make_collection, start):
    job = make_job(Collection(make_collection((f"{start}1.jpg", "b.jpg"), done=(0, 1))), safe_csv=True)
    run(job)
    assert [line.partition(",")[0] for line in job.out.read_text().splitlines()[1:]] == [f"'{start}1.jpg", "b.jpg"]
    assert run(job, append=True).kept == 2


class KilledError(Exception):
    pass


def kill_after(monkeypatch, blocks):
    """From now on the scoring dies when it begins the block after so many."""
    import headtrain.scoring.job as module

    done, score = [], module.score_block

    def dying(*words):
        if len(done) == blocks:
            raise KilledError
        done.append(1)
        return score(*words)

    monkeypatch.setattr(module, "score_block", dying)


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_killed_scoring_goes_on_and_ends_with_the_same_table(make_job, collection, tmp_path, monkeypatch, blocks):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    job = make_job(collection)
    run(replace(job, out=tmp_path / "whole.csv"))
    with monkeypatch.context() as patch:
        kill_after(patch, blocks)
        with pytest.raises(KilledError):
            run(job)
    assert not job.out.exists()
    with open(job.part, "ab") as file:
        file.write(b"half a li")  # the kill came within a write
    counts = run(job)
    assert job.out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert counts.scored + counts.missing == 4 - blocks
    assert counts.resumed == blocks


def test_a_part_whose_table_got_its_name_before_a_kill_is_removed(make_job, collection, monkeypatch, tmp_path):
    def dying(written, path):
        os.replace(written, path)
        raise KilledError

    job = make_job(collection, out=tmp_path / "scores.jsonl", kind="jsonl")
    with monkeypatch.context() as patch:
        patch.setattr("headtrain.scoring.job.replace_by", dying)
        with pytest.raises(KilledError):
            run(job)
    whole = job.out.read_bytes()
    assert job.part.exists()
    with pytest.raises(ExistsError):
        run(job)
    assert job.out.read_bytes() == whole
    assert {path.name for path in tmp_path.glob("scores.jsonl*")} == {"scores.jsonl", "scores.jsonl.json"}


def test_what_is_left_of_another_scoring_is_not_resumed(make_job, make_run, collection, monkeypatch):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(KilledError):
            run(make_job(collection, [make_run("a", 1)]))
    with pytest.raises(
        RunError, match=r"scores\.csv\.part is left of another scoring \(heads.*remove it and scores\.csv\.part\.json"
    ):
        run(make_job(collection, [make_run("b", 2)]))


@pytest.mark.parametrize("change", [{"blocks": []}, {"blocks": 3}, {"blocks": [["1", 2]]}, {"identity": [1]}])
def test_a_part_whose_account_is_damaged_is_named(make_job, collection, monkeypatch, change):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    job = make_job(collection)
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(KilledError):
            run(job)
    about_part = job.part.with_name(f"{job.part.name}.json")
    about_part.write_text(json.dumps(json.loads(about_part.read_text()) | change))
    with pytest.raises(RunError, match=r"scores\.csv\.part\.json: expected a file as amnet-head writes it, found "):
        run(job)


def test_a_part_of_the_same_collections_in_another_order_is_not_resumed(
    make_job, make_run, make_collection, monkeypatch
):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    collections = [
        Collection(make_collection((f"{n}0.jpg", f"{n}1.jpg"), done=(0, 1), name=f"{n}.h5")) for n in ("a", "b")
    ]
    job = make_job(collections[0], [make_run("a", 1)], collections=collections)
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(KilledError):
            run(job)
    with pytest.raises(RunError, match="is left of another scoring"):
        run(replace(job, collections=collections[::-1]))
    run(job)
    assert [row.id for row in table(job)] == ["a0.jpg", "a1.jpg", "b0.jpg", "b1.jpg"]


def test_what_says_how_far_a_part_is_does_not_outlive_it(make_job, collection, monkeypatch, tmp_path):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    job = make_job(collection)
    for blocks, remove in ((2, True), (0, False)):
        with monkeypatch.context() as patch:
            kill_after(patch, blocks)
            with pytest.raises(KilledError):
                run(job)
        if remove:
            job.part.unlink()  # as the message about parts of other scorings says, but for OUT.part.json
    run(job)
    whole = replace(job, out=tmp_path / "whole.csv")
    run(whole)
    assert job.out.read_bytes() == whole.out.read_bytes()


def test_blocks_whose_features_have_changed_since_are_scored_again(
    make_job, make_run, make_collection, spec, tmp_path, monkeypatch
):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 1)
    of, path, runs = make_collection.features_of, tmp_path / "g.h5", [make_run("a", 1)]
    job = make_job(grown(path, ["a.jpg", "b.jpg", "c.jpg"], {0: 0, 1: 1}, spec, of), runs)
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        patch.setattr("headtrain.scoring.job._publish", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            run(job)
    with RowWriter(path) as writer:  # the same file goes on: c.jpg is extracted
        for view in range(2):
            writer.write_view(2, view, of(2, view))
        writer.finish(2, ImageFacts(), np.zeros((2, 5), np.float32))
    assert run(replace(job, collections=[Collection(path)])).scored == 1
    assert [row.status for row in table(job)] == [SCORED] * 3


@pytest.mark.parametrize("append", [True, False])
def test_a_kill_while_the_table_gets_its_name_is_resumed(
    make_job, make_run, make_collection, spec, tmp_path, monkeypatch, append
):
    of, path, runs = make_collection.features_of, tmp_path / "g.h5", [make_run("a", 1)]
    before = make_job(grown(path, ["a.jpg"], {0: 0}, spec, of), runs if append else [make_run("b", 2)])
    run(before)
    job = make_job(grown(path, ["a.jpg", "b.jpg"], {0: 0, 1: 1}, spec, of), runs)
    with monkeypatch.context() as patch:
        patch.setattr("headtrain.scoring.job.os.replace", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            run(job, append=append, overwrite=not append)
    run(job, append=append, overwrite=not append)
    assert [row.status for row in table(job)] == [SCORED] * 2
    whole = replace(job, out=tmp_path / "whole.csv")
    run(whole)
    assert job.out.read_bytes() == whole.out.read_bytes()


def test_an_existing_table_is_kept_unless_told_otherwise(make_job, collection):
    job = make_job(collection)
    run(job)
    with pytest.raises(ExistsError, match=r"found one that exists; --append adds what is new to it, --overwrite"):
        run(job)
    assert run(job, overwrite=True).scored == 3


def grown(path, ids, done, spec, features_of):
    """A collection at `path` with these images; those of `done` have features, a later one another seed."""
    create_skeleton(path, Dataset("test", path.parent, tuple(ids)), 2, spec, {"mode": "eager"}, {}, replace=True)
    with RowWriter(path) as writer:
        for row, seed in done.items():
            for view in range(2):
                writer.write_view(row, view, features_of(seed, view))
            writer.finish(row, ImageFacts(), np.zeros((2, 5), np.float32))
    return Collection(path)


def test_append_scores_only_what_is_new_and_the_table_is_that_of_a_new_scoring(
    make_job, make_run, make_collection, spec, tmp_path
):
    of, path, runs = make_collection.features_of, tmp_path / "g.h5", [make_run("a", 1)]
    before = grown(path, ["a.jpg", "c.jpg"], {0: 0}, spec, of)
    assert run(make_job(before, runs)).scored == 1
    now = grown(path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], {0: 0, 1: 1, 2: 2}, spec, of)
    counts = run(make_job(now, runs), append=True)
    assert (counts.scored, counts.kept, counts.missing) == (2, 1, 1)
    whole = make_job(now, runs, out=tmp_path / "whole.csv")
    run(whole)
    assert (tmp_path / "scores.csv").read_text() == whole.out.read_text()
    assert [row.status for row in table(whole)] == [SCORED, SCORED, SCORED, PENDING]


def test_append_scores_an_image_again_whose_features_are_others(make_job, make_run, make_collection, spec, tmp_path):
    of, path, runs = make_collection.features_of, tmp_path / "g.h5", [make_run("a", 1)]
    run(make_job(grown(path, ["a.jpg", "b.jpg"], {0: 0, 1: 1}, spec, of), runs))
    counts = run(make_job(grown(path, ["a.jpg", "b.jpg"], {0: 0, 1: 9}, spec, of), runs), append=True)
    assert (counts.scored, counts.kept) == (1, 1)


def test_append_to_scores_of_another_head_or_other_views_is_refused(make_job, make_run, collection, tmp_path):
    run(make_job(collection, [make_run("a", 1)]))
    with pytest.raises(RunError, match=r"has scores of something else: heads: expected .*a, found .*b"):
        run(make_job(collection, [make_run("b", 2)]), append=True)
    with pytest.raises(RunError, match="has scores of something else: views: expected centre, found all"):
        run(make_job(collection, [tmp_path / "a"], views=ALL), append=True)


def test_append_does_not_mind_where_the_head_is(make_job, make_run, collection, tmp_path):
    job = make_job(collection, [make_run("a", 1)])
    run(job)
    (tmp_path / "a").rename(tmp_path / "moved")
    assert run(replace(job, heads=load_ensemble([tmp_path / "moved"])), append=True).kept == 3


def test_append_to_a_table_without_its_description_is_refused(make_job, collection):
    job = make_job(collection)
    run(job)
    about(job.out).unlink()
    with pytest.raises(RunError, match=r"expected scores\.csv\.json beside .*scores\.csv, which says what"):
        run(job, append=True)


def test_append_to_a_table_that_was_edited_is_refused(make_job, collection):
    job = make_job(collection)
    run(job)
    job.out.write_text(job.out.read_text().replace("scored", "Scored"))
    with pytest.raises(RunError, match=r"expected .* as it was written, found it changed since"):
        run(job, append=True)


def test_append_where_an_image_has_gone_is_refused(make_job, make_run, make_collection, spec, tmp_path):
    of, path, runs = make_collection.features_of, tmp_path / "g.h5", [make_run("a", 1)]
    run(make_job(grown(path, ["a.jpg", "b.jpg"], {0: 0, 1: 1}, spec, of), runs))
    with pytest.raises(RunError, match=r"expected all images of .* in the same order, found 'b.jpg' elsewhere"):
        run(make_job(grown(path, ["a.jpg", "c.jpg"], {0: 0, 1: 1}, spec, of), runs), append=True)


@pytest.mark.parametrize("kind", FORMATS)
def test_names_that_are_not_utf8_are_met_again_when_a_table_is_added_to(
    make_job, make_run, make_collection, tmp_path, kind
):
    ids = (b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), "b.jpg")
    job = make_job(Collection(make_collection(ids, done=(0, 1))), [make_run("a", 1)])
    job = replace(job, out=tmp_path / f"s.{kind}", kind=kind)
    run(job)
    assert run(job, append=True).kept == 2


def test_a_folder_with_an_unfinished_split_is_no_ensemble(make_run, tmp_path):
    for k in (1, 2):
        make_run(f"all/split-{k}", k)
    (tmp_path / "all" / "split-2" / "run.json").write_text(json.dumps({"config": PAPER.as_dict()}))
    with pytest.raises(RunError, match="expected finished heads, found that split-2 is not"):
        load_ensemble([tmp_path / "all"])


def test_the_table_says_what_its_scores_are_of(make_job, collection):
    job = make_job(collection)
    run(job)
    said = json.loads(about(job.out).read_text())
    assert said["runs"] == list(job.heads)
    assert said["features"] == [str(collection.path)]
    assert said["fingerprints"] == [collection.spec.fingerprint]


def test_damaged_features_are_not_scored_and_leave_no_table(make_job, collection):
    with open(collection.path, "r+b") as file:
        file.seek(collection.parts[0].planes.features.at(1) + 1000)
        file.write(b"\xff\xff\xff")
    job = make_job(collection)
    with pytest.raises(CollectionError, match=r"row 1 \(b.jpg\) view 0: expected checksum"):
        run(job)
    assert not job.out.exists()


def test_say_gives_each_row_its_own_whatever_the_batches(make_run, make_learnable):
    collection = make_learnable()
    heads = [*load_ensemble([make_run()]).values()]
    rows = np.arange(40)[::-1]
    together = predict_together(heads, collection, rows, range(2))
    for place in (0, 13, 39):
        alone = predict_together(heads, collection, rows[place : place + 1], range(2))
        assert together.score[place] == pytest.approx(alone.score[0], abs=1e-6)
        assert together.spread[place] == pytest.approx(alone.spread[0], abs=1e-6)
