"""Linking and relabelling: which rows, lists and scores the new collection has, and what is refused."""

import dataclasses
import os
import re
import shutil

import h5py
import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.joining import link, relabel
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError, DatasetError, OutputError, SpecError


def lists_of(collection: Collection) -> dict[str, dict[str, float]]:
    """Scores by id, for each list."""
    ids = np.array(collection.ids)
    return {
        name: dict(zip(ids[split.rows].tolist(), split.scores.tolist(), strict=True))
        for name, split in collection.splits.items()
    }


def split_list(**rows: list) -> dict[str, SplitList]:
    """split_list(train_1=([0, 1], [0.5, 0.7]))."""
    return {name: SplitList(np.array(r, np.int64), np.array(scores, float)) for name, (r, scores) in rows.items()}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "all.h5"


def test_ids_come_in_the_order_of_their_first_appearance(make_part, out):
    one, two = make_part("one.h5", {"d": 4, "b": None}), make_part("two.h5", {"a": 1, "b": 2, "c": 3})
    collection = link([one, two], out).collection
    assert collection.ids == ("d", "b", "a", "c")
    assert collection.read([1, 2], check=True)[:, 0, 0, 0].tolist() == [2, 1]


def test_lists_of_one_name_are_merged_in_order_of_appearance(make_part, out):
    one = make_part("one.h5", {"a": 1, "b": 2, "c": None}, splits=split_list(train_1=([1, 0], [0.2, 0.1])))
    splits = split_list(train_1=([2, 1], [0.5, 0.2]), val_1=([0], [0.4]))
    two = make_part("two.h5", {"d": 4, "b": None, "e": 5}, splits=splits)
    lists = lists_of(link([one, two], out).collection)
    assert {name: list(entries.items()) for name, entries in lists.items()} == {
        "train_1": [("b", 0.2), ("a", 0.1), ("e", 0.5)],
        "val_1": [("d", 0.4)],
    }


def test_scores_known_to_one_part_only_are_kept(make_part, out):
    one = make_part("one.h5", {"a": 1, "b": 2}, scores=np.array([0.1, np.nan]))
    two = make_part("two.h5", {"b": None, "c": 3}, scores=np.array([0.2, np.nan]))
    np.testing.assert_array_equal(link([one, two], out).collection.labels, [0.1, 0.2, np.nan])


def test_link_of_a_link_names_the_parts_of_the_first(make_part, out, tmp_path):
    paths = [make_part(f"{name}.h5", {name: number}) for number, name in enumerate("abc")]
    inner = link(paths[:2], tmp_path / "inner.h5").collection
    collection = link([inner.path, paths[2]], out).collection
    with h5py.File(out) as file:
        assert file["sources"]["path"].tolist() == [b"a.h5", b"b.h5", b"c.h5"]
    inner.path.unlink()
    assert Collection(out).read([0, 1, 2])[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert [part.path.name for part in collection.parts] == ["a.h5", "b.h5", "c.h5"]


def test_part_given_twice_is_refused_by_any_name_and_as_a_copy(make_part, out, tmp_path):
    path = make_part("one.h5", {"a": 1})
    (tmp_path / "alias.h5").symlink_to(path)
    shutil.copy(path, tmp_path / "copy.h5")
    linked = link([path], tmp_path / "linked.h5").collection.path
    for again, found in (("one.h5", path), ("alias.h5", None), ("copy.h5", None), (linked.name, path)):
        message = (
            f"{found or tmp_path / again}: expected each part once, found it again as {path} (the same file or a copy"
        )
        with pytest.raises(CollectionError, match=re.escape(message)):
            link([path, tmp_path / again], out)
        assert not out.exists()


def test_overlapping_ids_are_refused_with_both_names(make_part, out):
    one, two = make_part("one.h5", {"a": 1, "b": 2, "c": 3}), make_part("two.h5", {"c": 3, "b": 2, "d": 4})
    message = f"{two}: expected ids that no other part has features of, found 'b' in {one} too (2 ids overlap)"
    with pytest.raises(CollectionError, match=re.escape(message)):
        link([one, two], out)
    assert not out.exists()


def test_unlike_specs_are_refused_with_the_differing_fields(make_part, out, tmp_path, spec):
    one, two = make_part("one.h5", {"a": 1}), tmp_path / "two.h5"
    other = dataclasses.replace(spec, seed=3, view_plan={"name": "t", "augs": 5})
    create_skeleton(two, Dataset("test", tmp_path, ("b",)), 2, other, {}, {})
    message = (f"{two}: expected the spec of {one}, found another: seed: expected 0, found 3; "
               "view_plan.augs: expected 1, found 5")  # fmt: skip
    with pytest.raises(SpecError, match=re.escape(message)):
        link([one, two], out)
    assert not out.exists()


def test_parts_with_other_numbers_of_views_are_refused(make_part, make_collection, out):
    one, two = make_part("one.h5", {"a": 1}), make_collection(ids=["b"], views=3, name="two.h5")
    message = f"{out}: expected parts with 2 views an image as {one}, found {two} with 3"
    with pytest.raises(CollectionError, match=re.escape(message)):
        link([one, two], out)
    assert not out.exists()


def test_two_scores_of_one_image_are_refused(make_part, out):
    one = make_part("one.h5", {"a": 1}, scores=np.array([0.25]))
    two = make_part("two.h5", {"b": 2, "a": None}, scores=np.array([np.nan, 0.75]))
    message = f"{two}: expected score 0.25 of 'a' as in a part before, found 0.75"
    with pytest.raises(DatasetError, match=re.escape(message)):
        link([one, two], out)
    assert not out.exists()


def test_two_scores_of_one_image_in_one_list_are_refused(make_part, out):
    scores = np.array([0.5])
    one = make_part("one.h5", {"a": 1}, scores=scores, splits=split_list(train_2=([0], [0.25])))
    two = make_part("two.h5", {"a": None}, scores=scores, splits=split_list(train_2=([0], [0.75])))
    message = f"{two}: list train_2: expected score 0.25 of 'a' as in a part before, found 0.75"
    with pytest.raises(DatasetError, match=re.escape(message)):
        link([one, two], out)
    assert not out.exists()


def test_image_trained_on_in_one_part_and_tested_on_in_another_is_refused(make_part, out):
    one = make_part("one.h5", {"a": 1}, splits=split_list(train_1=([0], [0.5])))
    two = make_part("two.h5", {"a": None}, splits=split_list(test_1=([0], [0.5])))
    with pytest.raises(DatasetError, match=r"expected images that train_1\S* does not name, found 'a' in both"):
        link([one, two], out)
    assert not out.exists()


def test_parts_outside_the_folder_of_the_link_need_to_be_allowed(make_part, tmp_path, monkeypatch):
    part, folder = make_part("one.h5", {"a": 1}), tmp_path / "folder"
    folder.mkdir()
    message = (
        f"{folder / 'all.h5'}: expected parts below {folder}, found {part}; allow its folder with AMNET_LINK_ROOTS"
    )
    with pytest.raises(CollectionError, match=re.escape(message)):
        link([part], folder / "all.h5")
    assert os.listdir(folder) == []
    monkeypatch.setenv("AMNET_LINK_ROOTS", str(tmp_path))
    assert link([part], folder / "all.h5").collection.ids == ("a",)
    with h5py.File(folder / "all.h5") as file:
        assert file["sources"]["path"].tolist() == [b"../one.h5"]


def test_part_with_too_long_a_path_is_refused(make_part, tmp_path, out):
    folder = tmp_path.joinpath(*(letter * 250 for letter in "abcde"))
    folder.mkdir(parents=True)
    os.replace(make_part("one.h5", {"a": 1}), folder / "one.h5")
    message = f"{out}: expected parts with paths of at most 1024 bytes, found one of 1261"
    with pytest.raises(CollectionError, match=re.escape(message)):
        link([folder / "one.h5"], out)
    assert not out.exists()


def test_existing_file_is_never_replaced(make_part, out):
    part = make_part("one.h5", {"a": 1})
    out.write_text("mine")
    for join in (lambda: link([part], out), lambda: link([part], part)):
        with pytest.raises(OutputError, match="expected to create a collection there, found: it exists already"):
            join()
    assert out.read_text() == "mine"
    assert len(Collection(part)) == 1


def test_other_kernels_are_told_and_allowed(make_part, tmp_path, spec, out):
    one, two = make_part("one.h5", {"a": 1}), tmp_path / "two.h5"
    create_skeleton(two, Dataset("test", tmp_path, ("b",)), 2, spec, {"mode": "compiled"}, {})
    assert link([one, two], out).kernel_differences == (f"{two}: mode: expected eager, found compiled",)


def test_spec_scales_and_origin_are_kept(make_uint8, scales, out):
    paths = [make_uint8(ids=(name,), done=(0,), name=f"{name}.h5") for name in "ab"]
    collection, part = link(paths, out).collection, Collection(paths[1])
    assert (collection.spec, collection.dtype) == (part.spec, np.uint8)
    np.testing.assert_array_equal(collection.scales, scales)
    np.testing.assert_array_equal(collection.read_dequantised([1, 0])[0], part.read_dequantised(0)[0])
    assert collection.provenance["linked"] == [str(path) for path in paths]


@pytest.fixture
def scored(make_part):
    splits = split_list(train_1=([0], [0.5]))
    return make_part("one.h5", {"a": 1, "b": 2, "c": None}, scores=np.array([0.5, 0.6, 0.7]), splits=splits)


def test_relabelled_collection_has_the_scores_and_lists_of_the_table_only(scored, tmp_path, out):
    (tmp_path / "new.csv").write_text("id,score,split\nc,0.9,val\na,0.1,train\n")
    collection = relabel(scored, tmp_path / "new.csv", out)
    np.testing.assert_array_equal(collection.labels, [0.1, np.nan, 0.9])
    assert lists_of(collection) == {"train_1": {"a": 0.1}, "val_1": {"c": 0.9}}
    assert (collection.ids, collection.status.tolist()) == (("a", "b", "c"), [1, 1, 0])
    assert collection.read([1, 0], 1, check=True)[:, 0, 0, 0].tolist() == [2.5, 1.5]
    assert collection.provenance["relabelled"] == str(tmp_path / "new.csv")


def test_relabelling_leaves_the_first_collection_as_it_was(scored, tmp_path, out):
    before = scored.read_bytes()
    (tmp_path / "new.csv").write_text("id,score\na,0.1\n")
    relabel(scored, tmp_path / "new.csv", out)
    assert scored.read_bytes() == before


def test_link_may_be_relabelled_and_the_result_linked(scored, make_part, tmp_path, out):
    inner = link([scored, make_part("two.h5", {"d": 4})], tmp_path / "inner.h5").collection
    (tmp_path / "new.csv").write_text("id,score\nd,0.4\nb,0.2\n")
    relabelled = relabel(inner.path, tmp_path / "new.csv", tmp_path / "relabelled.h5")
    inner.path.unlink()
    collection = link([relabelled.path, make_part("three.h5", {"e": 5})], out).collection
    np.testing.assert_array_equal(collection.labels, [np.nan, 0.2, np.nan, 0.4, np.nan])
    assert collection.read([3, 4])[:, 0, 0, 0].tolist() == [4, 5]


def test_images_that_the_collection_does_not_hold_are_refused_and_counted(scored, tmp_path, out):
    (tmp_path / "new.csv").write_text("id,score\na,0.1\nzebra,0.2\nyak,0.3\n")
    message = (f"--labels {tmp_path / 'new.csv'}: expected images of {scored}, found 'zebra' and 1 more that it does "
               "not hold")  # fmt: skip
    with pytest.raises(DatasetError, match=re.escape(message)):
        relabel(scored, tmp_path / "new.csv", out)
    assert not out.exists()


def test_relabelling_with_a_bad_table_leaves_no_file(scored, tmp_path, out):
    (tmp_path / "new.csv").write_text("id,score\na,high\n")
    with pytest.raises(DatasetError, match=r"new.csv:2: expected a number as score, found 'high'"):
        relabel(scored, tmp_path / "new.csv", out)
    assert not out.exists()
