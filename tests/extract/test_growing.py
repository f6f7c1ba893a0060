"""`--except` and `--like`: only new images, by content, with the settings of the old collection."""

import dataclasses
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.datasets import load_dataset
from amnet_common.errors import CollectionError
from extract import opening
from extract.cli import except_notes
from extract.known import find_new_images


def of(dataset, *paths) -> list[str]:
    """The ids that are new."""
    new = find_new_images(dataset, [Collection(path) for path in paths])
    return [id_ for id_, keep in zip(dataset.ids, new.keep, strict=True) if keep]


@pytest.fixture
def library(pictures, extract):
    """A library of four pictures of one size, extracted as old.h5; grow() reads the folder again."""
    dataset = pictures(4, kind="BMP")
    assert extract(dataset, "--out", "old.h5").status == 0
    return dataset.image_root, lambda: load_dataset("folder", dataset.image_root)


def test_only_new_pictures_are_extracted_and_both_collections_link(library, extract, draw, tmp_path):
    root, grow = library
    draw(root / "new.bmp")
    draw(root / "0.png", seed=7)
    extended = extract(grow(), "--except", "old.h5", "--like", "old.h5")
    assert (extended.status, extended.views, Collection("t.h5").ids) == (0, 4, ("0.png", "new.bmp"))
    assert extended.stderr.startswith("4 of 6 images are in old.h5\n")
    linked = link([tmp_path / "old.h5", tmp_path / "t.h5"], tmp_path / "all.h5").collection
    assert sorted(linked.ids) == sorted(grow().ids)
    extract(grow(), "--out", "whole.h5")
    whole = Collection("whole.h5")
    for row, id_ in enumerate(linked.ids):
        np.testing.assert_array_equal(linked.read(row, 1, check=True), whole.read(whole.ids.index(id_), 1))


def test_renamed_and_copied_pictures_are_known(library):
    root, grow = library
    os.rename(root / "000.bmp", root / "zzz.bmp")
    (root / "sub").mkdir()
    shutil.copy(root / "001.bmp", root / "sub" / "copy.bmp")
    assert of(grow(), "old.h5") == []


def test_touched_pictures_are_known(library):
    root, grow = library
    os.utime(root / "000.bmp", ns=(0, 0))
    assert of(grow(), "old.h5") == []


def test_picture_of_the_same_size_in_bytes_but_other_content_is_new(library, draw):
    root, grow = library
    draw(root / "new.bmp")
    assert (root / "new.bmp").stat().st_size == (root / "000.bmp").stat().st_size
    assert of(grow(), "old.h5") == ["new.bmp"]


def test_picture_of_another_folder_with_the_same_name_size_and_time_is_new(library, pictures, draw):
    root, _ = library
    other = pictures(4, kind="BMP", name="other")
    draw(other.image_root / "002.bmp")
    for id_ in other.ids:
        then = (root / id_).stat().st_mtime_ns
        os.utime(other.image_root / id_, ns=(then, then))
    assert of(other, "old.h5") == ["002.bmp"]


def test_pictures_that_failed_count_as_new(pictures, extract):
    dataset = pictures(4, broken=(1, 2))
    extract(dataset, "--out", "old.h5")
    assert of(dataset, "old.h5") == ["001.png", "002.png"]


def test_pictures_that_were_not_extracted_yet_count_as_new(pictures, extract, tmp_path):
    dataset = pictures(4)
    extract(dataset, "--out", "old.h5", "--limit", 3)
    assert of(dataset, "old.h5") == ["003.png"]
    extract(dataset, "--except", "old.h5", "--like", "old.h5")
    linked = link([tmp_path / "old.h5", tmp_path / "t.h5"], tmp_path / "all.h5").collection
    assert (linked.ids, linked.status.tolist()) == (dataset.ids, [1] * 4)


def test_picture_that_is_gone_but_was_extracted_is_known_and_one_that_was_not_is_new(library, tmp_path):
    root, _ = library
    (root / "001.bmp").unlink()
    (tmp_path / "labels.csv").write_text("id,score\n000.bmp,\n001.bmp,\nnever.bmp,\n")
    dataset = load_dataset("csv", root, tmp_path / "labels.csv")
    new = find_new_images(dataset, [Collection("old.h5")])
    assert (new.keep.tolist(), new.clashes) == ([False, False, True], ())


def test_several_old_collections_and_links_of_them_are_known(pictures, extract, tmp_path, draw):
    dataset = pictures(4)
    for number in (1, 2):
        extract(dataset, "--out", f"{number}.h5", "--shard", f"{number}/2")
    link([tmp_path / "1.h5", tmp_path / "2.h5"], tmp_path / "all.h5")
    draw(dataset.image_root / "new.png")
    grown = load_dataset("folder", dataset.image_root)
    assert of(grown, "1.h5", "2.h5") == of(grown, "all.h5") == ["new.png"]
    assert of(grown, "1.h5") == ["002.png", "003.png", "new.png"]
    both = extract(grown, "--except", "1.h5", "--except", "2.h5")
    assert both.stderr.startswith("4 of 5 images are in 1.h5, 2.h5\n")


def test_new_content_under_an_old_name_is_extracted_but_noted_as_a_clash(library, extract, draw, tmp_path):
    root, grow = library
    draw(root / "001.bmp")
    extended = extract(grow(), "--except", "old.h5", "--like", "old.h5")
    assert (extended.status, Collection("t.h5").ids) == (0, ("001.bmp",))
    assert "note: 1 images, such as 001.bmp, have names that old.h5 holds with other content: " in extended.stderr
    with pytest.raises(CollectionError, match=r"found '001\.bmp' in .*old\.h5 too \(1 ids overlap\)"):
        link([tmp_path / "old.h5", tmp_path / "t.h5"], tmp_path / "all.h5")


def test_pictures_that_swapped_their_names_are_known_but_noted(library, extract):
    root, grow = library
    for old, new in (("001.bmp", "x"), ("002.bmp", "001.bmp"), ("x", "002.bmp")):
        os.rename(root / old, root / new)
    again = extract(grow(), "--except", "old.h5")
    assert (again.status, again.stdout) == (0, "nothing to do: every image is in old.h5\n")
    assert "note: 2 images, such as 001.bmp, have names that old.h5 holds with other content: there" in again.stderr


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--like", "old.h5")])
def test_nothing_new_is_status_0_and_makes_no_file(library, extract, options):
    _, grow = library
    again = extract(grow(), "--except", "old.h5", *options)
    assert (again.status, again.stdout, os.path.exists("t.h5")) == (
        0,
        "nothing to do: every image is in old.h5\n",
        False,
    )


def test_splits_and_scores_of_new_pictures_are_kept(library, extract, draw, tmp_path):
    root, _ = library
    draw(root / "new.bmp")
    (tmp_path / "labels.csv").write_text("id,score,split\n001.bmp,0.1,train\nnew.bmp,0.7,test\n000.bmp,0.2,test\n")
    extract(load_dataset("folder", root), "--except", "old.h5", "--labels", "labels.csv", layout="csv")
    collection = Collection("t.h5")
    assert (collection.ids, collection.labels.tolist()) == (("new.bmp",), [0.7])
    assert {name: split.rows.tolist() for name, split in collection.splits.items()} == {"test_1": [0], "train_1": []}


def test_same_command_goes_on(library, extract, draw):
    root, grow = library
    for name in ("x.bmp", "y.bmp"):
        draw(root / name, seed=ord(name[0]))
    command = ("--except", "old.h5", "--like", "old.h5")
    assert [extract(grow(), *command, "--limit", 1).views, extract(grow(), *command).views] == [2, 2]
    assert "2 images done (0 now), 0 failed, 0 pending, nothing to do" in extract(grow(), *command).stdout


def test_what_is_no_collection_cannot_be_excepted(library, extract):
    _, grow = library
    refused = extract(grow(), "--except", "none.h5")
    assert (refused.status, refused.stderr) == (2, "main: none.h5: expected a collection, found no such file\n")


@pytest.fixture
def model(pictures, extract):
    """model.h5: uint8, seed 3, two augmented views, float16 arithmetic, batches of 5; and other pictures."""
    settings = ("--dtype", "uint8", "--seed", 3, "--augs", 2, "--precision", "float16", "--batch-size", 5)
    assert extract(pictures(5, name="first"), "--out", "model.h5", *settings).status == 0
    return pictures(8, name="second")


def test_like_takes_every_setting_and_the_scales(model, extract, tmp_path):
    os.rename(model.image_root / "000.png", model.image_root / "x.png")
    second = load_dataset("folder", model.image_root)
    assert extract(second, "--like", "model.h5", "--weights", "untrained").status == 0
    old, new = Collection("model.h5"), Collection("t.h5")
    assert (new.spec, new.kernel_path, new.views) == (old.spec, old.kernel_path, 3)
    np.testing.assert_array_equal(new.scales, old.scales)
    extract(second, "--except", "model.h5", "--like", "model.h5", "--out", "u.h5")
    linked = link([tmp_path / "model.h5", tmp_path / "u.h5"], tmp_path / "all.h5").collection
    assert len(linked) == 8


def test_like_is_no_sample_and_other_pictures_may_clip(model, extract):
    Image.new("RGB", (60, 60), "white").save(model.image_root / "bright.png")
    second = load_dataset("folder", model.image_root)
    result = extract(second, "--like", "model.h5")
    new = Collection("t.h5")
    row, clipped = new.ids.index("bright.png"), int(new.images["clipped"].sum())
    assert f", {clipped} values clipped\n" in result.stdout
    beyond = np.rint(255 / new.scales) > 255  # channels in which white is above the range
    assert new.images["clipped"][row] == 3 * 14 * 14 * beyond.sum() > 0
    lost = 255 - new.read_dequantised([row] * 3, range(3))
    assert (lost[..., beyond] > 0).all()
    assert np.abs(lost[..., ~beyond]).max(initial=0) <= new.scales.max() / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 4), "seed: expected 3, found 4"),
        (("--augs", 1), "view_plan.augs: expected 2, found 1"),
        (("--plan", "squash264"), "view_plan.name: expected standard, found squash264"),
        (("--dtype", "float16"), "dtype: expected uint8, found float16"),
        (("--precision", "float32"), "precision: expected float16, found float32"),
        (("--weights", "imagenet1k-v2"), "weights_sha256: expected "),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_contradiction_to_like_is_refused_with_the_field(model, extract, options, message, there):
    if there:
        extract(model, "--like", "model.h5")
    refused = extract(model, "--like", "model.h5", *options)
    assert (refused.status, refused.stdout, os.path.exists("t.h5")) == (2, "", there)
    assert re.fullmatch(rf"main: [^\n]*{re.escape(message)}[^\n]*\n", refused.stderr)


def test_codes_like_a_collection_of_floats_are_refused(pictures, extract):
    dataset = pictures(2)
    extract(dataset, "--out", "floats.h5")
    refused = extract(dataset, "--like", "floats.h5", "--dtype", "uint8")
    message = "main: --like floats.h5: expected its spec, found another: dtype: expected float16, found uint8\n"
    assert (refused.status, refused.stderr) == (2, message)


def test_file_with_scales_of_its_own_is_no_continuation_of_one_like_another(model, extract):
    options = ("--dtype", "uint8", "--seed", 3, "--augs", 2, "--precision", "float16", "--batch-size", 5)
    extract(model, *options, "--limit", 2)
    refused = extract(model, *options, "--like", "model.h5")
    assert (refused.status, "holds another extraction: scales_sha256: expected " in refused.stderr) == (2, True)


def test_contradictions_are_refused_before_the_network_is_loaded(model, extract, monkeypatch):
    monkeypatch.setattr(opening, "load_weights", None)
    assert extract(model, "--like", "model.h5", "--seed", 4).status == 2


def test_unfinished_old_collection_is_noted(pictures, extract):
    dataset = pictures(4)
    extract(dataset, "--out", "old.h5", "--limit", 3)
    result = extract(dataset, "--except", "old.h5")
    assert (result.status, Collection("t.h5").ids) == (0, (dataset.ids[3],))
    assert "note: old.h5 is not finished: an image that is extracted now and there too makes a link" in result.stderr


def test_scores_of_images_that_are_left_out_are_counted(library):
    _, grow = library
    scored, old = dataclasses.replace(grow(), scores=np.array([0.5, np.nan, 0.25, 0.75])), [Collection("old.h5")]
    (note,) = except_notes(scored, old, find_new_images(scored, old), "old.h5")
    assert note == ("3 of these have scores, which are left out here; amnet-cache relabel gives old.h5 new scores")


def test_collection_of_a_grown_folder_is_mended_without_the_newer_pictures(library, extract, draw):
    root, grow = library
    draw(root / "new.bmp")
    draw(root / "001.bmp")
    refused = extract(grow(), "--out", "old.h5", "--update")
    assert (refused.status, "without new.bmp and others (--only-begun leaves newer" in refused.stderr) == (2, True)
    mended = extract(grow(), "--out", "old.h5", "--update", "--only-begun")
    assert (mended.status, "4 images done (1 now)" in mended.stdout) == (0, True)
