"""`--sync`: after each run the collection is what a fresh extraction of the folder of that day would be."""

import hashlib
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.joining import link, relabel
from amnet_common.collection.layout import DONE, FAILED, PENDING
from amnet_common.errors import CollectionError
from amnet_common.locks import lock_file
from amnet_common.only_writer import lock_of
from extract.pipeline import Cutter
from tests.extract.fresh import assert_as_fresh


@pytest.fixture
def library(pictures, extract):
    """Five pictures of one size in bytes, and sync(): the command over them."""
    root = pictures(5, kind="BMP").image_root
    return root, lambda *options: extract_in(extract, root, *options)


def extract_in(extract, root, *options):
    class Here:
        image_root = root

    return extract(Here, "--sync", "--augs", "0", *options)


def test_first_run_extracts_all_into_a_part(library, extract):
    root, sync = library
    found = sync()
    assert (found.status, found.views) == (0, 5)
    assert found.stdout.splitlines()[-1] == "t.h5: 5 images: 5 done, 0 failed, 0 pending, in 1 parts"
    assert_as_fresh("t.h5", root, extract)


def test_second_run_does_nothing_and_leaves_the_file_alone(library):
    _, sync = library
    sync()
    before = os.stat("t.h5")
    found = sync()
    assert (found.status, found.views, os.stat("t.h5").st_ino) == (0, 0, before.st_ino)
    assert found.stderr == "t.h5: 5 images: 5 as they were\n"


def test_new_changed_renamed_copied_and_gone_images(library, extract, draw):
    root, sync = library
    sync()
    draw(root / "new.bmp", seed=20)
    draw(root / "000.bmp", seed=21)
    os.rename(root / "001.bmp", root / "zzz.bmp")
    shutil.copy(root / "002.bmp", root / "sub.bmp")
    os.unlink(root / "003.bmp")
    found = sync()
    assert (found.status, found.views) == (0, 2)
    assert "t.h5: 6 images: 2 as they were, 1 new, 1 changed, 1 renamed, 1 copies; 1 gone\n" in found.stderr
    assert Collection("t.h5").ids == ("000.bmp", "002.bmp", "004.bmp", "new.bmp", "sub.bmp", "zzz.bmp")
    assert_as_fresh("t.h5", root, extract)


def test_images_that_come_back_are_not_extracted_again(library, extract):
    root, sync = library
    sync()
    os.rename(root / "003.bmp", root.parent / "aside.bmp")
    sync()
    os.rename(root.parent / "aside.bmp", root / "003.bmp")
    found = sync()
    assert (found.views, "4 as they were, 1 back" in found.stderr) == (0, True)
    assert_as_fresh("t.h5", root, extract)


def test_touched_images_are_hashed_once_and_kept(library, monkeypatch):
    root, sync = library
    sync()
    os.utime(root / "002.bmp", ns=(5, 5))
    assert sync().views == 0
    held = Collection("t.h5").held
    assert held["mtime_ns"].tolist() == [0, 0, 5, 0, 0]
    monkeypatch.setattr("extract.sync.deciding.file_sha256", lambda path: pytest.fail(f"{path} is hashed again"))
    assert sync().views == 0


def test_rehash_finds_what_has_kept_size_and_time(library, extract, draw):
    root, sync = library
    sync()
    draw(root / "002.bmp", seed=50, keep_time=True)
    assert sync().views == 0
    assert sync("--rehash").views == 1
    assert_as_fresh("t.h5", root, extract)


def test_failed_images_are_tried_again_only_when_their_file_changed_or_when_asked_to(library, draw, extract):
    root, sync = library
    (root / "002.bmp").write_bytes(b"no picture")
    assert (sync().status, Collection("t.h5").status.tolist()) == (1, [DONE, DONE, FAILED, DONE, DONE])
    again = sync()
    assert (again.status, again.stderr) == (1, "t.h5: 5 images: 5 as they were\n")
    assert "1 tried again" in sync("--retry-failed").stderr
    draw(root / "002.bmp")
    mended = sync()
    assert (mended.status, mended.views) == (0, 1)
    assert_as_fresh("t.h5", root, extract)


def test_image_that_is_damaged_overnight_fails_and_recovers_without_extraction(library, extract):
    root, sync = library
    sync()
    whole = (root / "001.bmp").read_bytes()
    (root / "001.bmp").write_bytes(whole[:100])
    assert sync().status == 1
    assert_as_fresh("t.h5", root, extract)
    (root / "001.bmp").write_bytes(whole)
    found = sync()
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh("t.h5", root, extract)


def test_with_augmented_views_a_renamed_image_is_extracted_anew_and_that_is_said(pictures, extract):
    root = pictures(4, kind="BMP").image_root

    def sync():
        return extract_in(extract, root, "--augs", "2")

    sync()
    os.rename(root / "001.bmp", root / "new.bmp")
    found = sync()
    assert (found.status, found.views) == (0, 3)
    assert "1 images have the content of another name; they are extracted anew" in found.stderr
    assert_as_fresh("t.h5", root, extract, "--augs", "2")


def test_collection_of_a_plain_extraction_goes_on_and_nothing_of_it_is_extracted_again(library, extract, draw):
    root, sync = library

    class Here:
        image_root = root

    extract(Here, "--augs", "0")
    draw(root / "new.bmp")
    found = sync()
    assert (found.status, found.views) == (0, 1)
    assert sorted(os.listdir("t.h5.parts")) == ["0001.h5", "0002.h5"]
    assert_as_fresh("t.h5", root, extract)


def test_plain_collection_that_is_in_step_stays_as_it_is(library, extract):
    root, sync = library

    class Here:
        image_root = root

    extract(Here, "--augs", "0")
    assert sync().views == 0
    assert not Collection("t.h5").linked


def test_interrupted_run_goes_on_in_the_part_that_it_began(library, extract, monkeypatch, draw):
    root, sync = library
    sync()
    for number in range(10, 16):
        draw(root / f"{number}.bmp", seed=number)
    usual, cut = Cutter.__call__, []

    def stops(self, row):
        cut.append(row)
        if len(cut) == 4:
            raise KeyboardInterrupt
        return usual(self, row)

    monkeypatch.setattr(Cutter, "__call__", stops)
    assert sync().status == 130
    monkeypatch.setattr(Cutter, "__call__", usual)
    assert len(Collection("t.h5")) == 11
    assert (Collection("t.h5").status == PENDING).any()
    assert sync().status == 0
    assert sorted(os.listdir("t.h5.parts")) == ["0001.h5", "0002.h5"]
    assert_as_fresh("t.h5", root, extract)


def test_removed_link_is_made_again_of_its_parts(library, extract):
    root, sync = library
    sync()
    os.unlink("t.h5")
    found = sync()
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh("t.h5", root, extract)


def test_prune_erases_what_is_gone_and_nothing_else(library, extract):
    root, sync = library
    sync()
    gone = Collection("t.h5").read([3]).tobytes()
    os.unlink(root / "003.bmp")
    sync()
    part = "t.h5.parts/0001.h5"
    with open(part, "rb") as file:
        assert gone in file.read()
    assert "features of 1 images that are gone or have changed are erased" in sync("--prune").stderr
    with open(part, "rb") as file:
        assert gone not in file.read()
    assert_as_fresh("t.h5", root, extract)


def test_prune_leaves_all_where_more_is_gone_than_is_there(library):
    root, sync = library
    sync()
    for number in range(1, 5):
        os.unlink(root / f"00{number}.bmp")
    for _ in range(2):  # the second night finds nothing gone, and yet it was
        found = sync("--prune")
        assert "not pruned: 4 images are gone or have changed and 1 are there; is a disk missing?" in found.stderr
    assert (Collection("t.h5.parts/0001.h5").status == DONE).all()


def test_dry_run_says_what_it_would_do_and_writes_nothing(library, draw):
    root, sync = library
    sync()
    draw(root / "new.bmp")
    os.unlink(root / "000.bmp")
    before = sorted(os.listdir(".")), os.stat("t.h5").st_mtime_ns
    found = sync("--dry-run")
    assert found.stdout.splitlines()[:3] == ["t.h5: 5 images: 4 as they were, 1 new; 1 gone", "gone       000.bmp",
                                             "images     1"]  # fmt: skip
    assert (sorted(os.listdir(".")), os.stat("t.h5").st_mtime_ns) == before


def test_table_is_followed_with_its_scores_and_lists(pictures, extract, tmp_path):
    data = pictures(4)
    table = tmp_path / "table.csv"

    def sync(lines):
        table.write_text("id,score,split\n" + lines)
        return extract(data, "--sync", "--augs", "0", "--labels", table, layout="csv")

    sync("000.png,0.5,train\n001.png,0.25,val\n002.png,0.125,test\n")
    found = sync("000.png,0.5,train\n001.png,0.75,val\n003.png,1,test\n")
    assert (found.status, found.views) == (0, 1)
    collection = Collection("t.h5")
    assert (collection.ids, collection.labels.tolist()) == (("000.png", "001.png", "003.png"), [0.5, 0.75, 1])
    assert collection.splits["test_1"].rows.tolist() == [2]


def test_other_settings_are_refused_in_one_line(library):
    _, sync = library
    sync()
    found = sync("--seed", "3")
    assert (found.status, found.stderr.count("\n")) == (2, 1)
    assert "--out t.h5: expected its spec, found another: seed: expected 0, found 3" in found.stderr


def test_other_weights_are_refused_also_when_nothing_is_to_be_extracted(library, tmp_path):
    import torch
    from safetensors.torch import save_file

    root, sync = library
    save_file({"w": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / "two.safetensors")
    sync("--weights", "one.safetensors")
    os.unlink(root / "000.bmp")
    found = sync("--weights", "two.safetensors")
    assert (found.status, "weights_sha256: expected" in found.stderr) == (2, True)
    assert len(Collection("t.h5")) == 5
    shutil.copy("one.safetensors", "copy.safetensors")
    assert sync("--weights", "copy.safetensors").status == 0
    assert Collection("t.h5").provenance["weights"] == "one.safetensors"


def test_scores_that_the_folder_does_not_have_are_said_to_be_left_out(pictures, extract, tmp_path):
    data = pictures(3)
    (tmp_path / "table.csv").write_text("id,score\n000.png,0.5\n001.png,0.25\n002.png,1\n")
    extract(data, "--sync", "--augs", "0", "--labels", tmp_path / "table.csv", layout="csv")
    assert (
        "note: 3 images have scores in t.h5, and --dataset folder has none"
        in extract(data, "--sync", "--augs", "0").stderr
    )


@pytest.mark.parametrize("option", ["--overwrite", "--only-begun", "--limit=1", "--shard=1/2", "--except=t.h5"])
def test_options_that_mean_nothing_beside_it_are_refused(library, option):
    _, sync = library
    found = sync(option)
    assert (found.status, found.stderr.count("\n")) == (2, 1)
    assert f"--sync: expected without {option.partition('=')[0]}, found both" in found.stderr


def test_second_run_at_once_is_refused_and_changes_nothing(library):
    _, sync = library
    file = os.open(lock_of(Path("t.h5")), os.O_RDWR | os.O_CREAT)
    assert lock_file(file)
    found = sync()
    os.close(file)
    assert "found another at work" in found.stderr
    assert not os.path.exists("t.h5")


def test_features_of_a_followed_collection_are_linked_and_relabelled_as_they_are(library, make_other, tmp_path):
    root, sync = library
    sync()
    os.rename(root / "000.bmp", root / "first.bmp")
    sync()
    (tmp_path / "new.csv").write_text("id,score\nfirst.bmp,0.5\n")
    labelled = relabel(tmp_path / "t.h5", tmp_path / "new.csv", tmp_path / "labelled.h5")
    joined = link([tmp_path / "t.h5", make_other("other.h5")], tmp_path / "joined.h5").collection
    want = Collection("t.h5")
    for collection in (labelled, joined):
        assert collection.ids[: len(want)] == want.ids
        np.testing.assert_array_equal(collection.read(range(len(want)), check=True),
                                      want.read(range(len(want)), check=True))  # fmt: skip
    with pytest.raises(CollectionError, match=r"expected each part once"):
        link([tmp_path / "t.h5", tmp_path / "labelled.h5"], tmp_path / "twice.h5")


@pytest.fixture
def make_other(pictures, extract, tmp_path):
    def make(name):
        data = pictures(2, name="elsewhere")
        os.rename(data.image_root / "000.png", data.image_root / "other.png")
        os.rename(data.image_root / "001.png", data.image_root / "another.png")
        extract(data, "--out", name, "--augs", "0")
        return tmp_path / name

    return make


def test_only_such_a_link_has_version_2(library):
    _, sync = library
    sync()
    part = Collection("t.h5").parts[0].path
    versions = []
    for path in ("t.h5", part):
        with h5py.File(path, "r", locking=False) as file:
            versions.append(int(file.attrs["format_version"]))
    assert versions == [2, 1]
    shutil.copy(part, "newer.h5")
    with h5py.File("newer.h5", "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(CollectionError, match="expected format version 1, found 2; a newer amnet reads it"):
        Collection("newer.h5")


@pytest.mark.parametrize(("field", "value", "said"), [("part", 7, "names part 7 of 1"), ("row", 99, "found row 99 of")])
def test_row_that_no_part_has_is_refused(library, field, value, said):
    _, sync = library
    sync()
    with h5py.File("t.h5", "r+") as file:
        held = file["held"][:]
        held[field][2] = value
        file["held"][...] = held
        file["held"].attrs["sha256"] = np.bytes_(hashlib.sha256(held.tobytes()).hexdigest())
    with pytest.raises(CollectionError, match=said):
        Collection("t.h5")


def test_verify_and_repair_see_the_rows_of_a_followed_collection(library, extract, flip):
    root, sync = library
    sync()
    part = Collection("t.h5").parts[0]
    flip(part.path, part.planes.features.at(2))
    result = CliRunner().invoke(cache, ["verify", "t.h5", "--repair"])
    assert (result.exit_code, "1 bad rows marked pending" in result.stdout) == (1, True)
    found = sync()
    assert (found.status, found.views) == (0, 1)
    assert_as_fresh("t.h5", root, extract)
