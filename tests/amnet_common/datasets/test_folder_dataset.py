"""Every image below a folder; and how a dataset and its root are chosen."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.datasets import default_root, load_dataset
from amnet_common.datasets.records import check_ids, checked_id
from amnet_common.errors import DatasetError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_images_of_all_subfolders_are_found_sorted_and_without_scores(tmp_path):
    dataset = load_dataset("folder", touch(tmp_path, "b.png", "a/z.jpeg", "a/b/c.tif"))
    assert dataset.ids == ("a/b/c.tif", "a/z.jpeg", "b.png")
    assert np.isnan(dataset.labels).all()


def test_suffixes_count_in_either_case_and_other_files_are_left_out(tmp_path):
    touch(tmp_path, "A.JPG", "b.Png", "c.WEBP", "notes.txt", "jpg", "d.jpg.part", "e.csv")
    assert load_dataset("folder", tmp_path).ids == ("A.JPG", "b.Png", "c.WEBP")


def test_hidden_files_and_folders_are_left_out(tmp_path):
    touch(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".git/c.jpg", "x/.d/e.jpg", "..f.jpg", "g..h.jpg")
    assert load_dataset("folder", tmp_path).ids == ("a.jpg", "g..h.jpg")


@pytest.mark.parametrize(
    "name", ["two words.jpg", "line\nbreak.jpg", "\u5f71\u50cf.jpg", "caf\u0065\u0301.jpg", "a'\"$;.jpg", "-x.jpg"]
)
def test_odd_names_are_kept_as_they_are(tmp_path, name):
    assert load_dataset("folder", touch(tmp_path, name)).ids == (name,)


def test_name_that_is_not_utf8_still_leads_to_its_file(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        touch(tmp_path, name)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    dataset = load_dataset("folder", tmp_path)
    assert (dataset.image_root / dataset.ids[0]).is_file()


def test_folder_called_like_an_image_is_no_image(tmp_path):
    assert load_dataset("folder", touch(tmp_path, "album.jpg/a.png")).ids == ("album.jpg/a.png",)


@pytest.mark.parametrize("name", ["nowhere", "n" * 300])
def test_missing_folder_is_named(tmp_path, name):
    with pytest.raises(DatasetError, match=re.escape(f"expected a folder {tmp_path / name}, found none")):
        load_dataset("folder", tmp_path / name)


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=re.escape(f"expected at least one image, found none for {tmp_path}")):
        load_dataset("folder", tmp_path)


@pytest.mark.parametrize(
    ("value", "root"), [(None, "data/lamem"), ("", "data/lamem"), ("/mnt/sets", "/mnt/sets/lamem")]
)
def test_default_root_follows_amnet_data(monkeypatch, value, root):
    monkeypatch.delenv("AMNET_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("AMNET_DATA", value)
    assert default_root("lamem") == Path(root)


@pytest.mark.parametrize(("name", "labels"), [("csv", None), ("folder", Path("labels.csv")), ("lamem", Path("l.csv"))])
def test_labels_go_with_csv_alone(tmp_path, name, labels):
    with pytest.raises(DatasetError, match=f"--labels FILE goes with --dataset csv, and only with it; .* {name}"):
        load_dataset(name, tmp_path, labels)


def test_folders_behind_symbolic_links_are_read_once(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").touch()
    root = tmp_path / "root"
    root.mkdir()
    for name, target in (("first", "outside"), ("second", "outside"), ("loop", "root")):
        (root / name).symlink_to(tmp_path / target)
    assert load_dataset("folder", root).ids == ("first/a.jpg",)


@pytest.fixture
def locked(monkeypatch):
    """locked(name): folders of that name cannot be read."""
    real = os.scandir

    def lock(name):
        def scandir(folder):
            if Path(folder).name == name:
                raise PermissionError(13, "Permission denied", str(folder))
            return real(folder)

        monkeypatch.setattr(os, "scandir", scandir)

    return lock


def test_subfolder_that_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path, locked):
    touch(tmp_path, "a.jpg", "locked/b.jpg", "x/locked/c.jpg", "z/d.jpg")
    locked("locked")
    dataset = load_dataset("folder", tmp_path)
    assert dataset.ids == ("a.jpg", "z/d.jpg")
    folders = [f"{tmp_path}/locked", f"{tmp_path}/x/locked"]
    assert [*dataset.notes] == [f"left out, cannot be read: {folder}: Permission denied" for folder in folders]


def test_root_that_cannot_be_read_is_refused(tmp_path, locked):
    locked(tmp_path.name)
    with pytest.raises(DatasetError, match=f"expected to read {tmp_path}, found: Permission denied"):
        load_dataset("folder", tmp_path)


@pytest.fixture
def deep_folders(tmp_path):
    """1,500 folders `a` in one another below `tmp_path`, with one image beside them and one at the very end."""
    (tmp_path / "top.jpg").touch()
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "a")], check=True)  # shutil.rmtree recurses


def test_folders_nested_deeper_than_the_stack_are_walked(deep_folders):
    dataset = load_dataset("folder", deep_folders)
    assert dataset.ids == ("top.jpg",)
    (note,) = dataset.notes
    assert note.startswith(f"1 images left out: paths of more than 1024 bytes below {deep_folders}, such as a/a/a/")
    assert note.endswith("/a/a/a/deep.jpg")


def test_images_as_deep_as_an_id_can_say_are_found(tmp_path):
    name = "b/" * 300 + "deep.jpg"
    folder = tmp_path
    for _ in range(300):
        folder /= "b"
        folder.mkdir()
    (folder / "deep.jpg").touch()
    dataset = load_dataset("folder", tmp_path)
    assert (dataset.ids, dataset.notes) == ((name,), ())


@given(st.lists(st.text("ab./\0é", max_size=6), max_size=6))
def test_ids_are_good_together_when_each_is_good(ids):
    def refused(check) -> bool:
        try:
            check()
        except DatasetError:
            return True
        return False

    alone = any(refused(lambda id_=id_: checked_id(id_, "t")) for id_ in ids)
    assert refused(lambda: check_ids(ids, "t")) == alone
    named = [not id_ or "\0" in id_ or {"", ".", ".."} & set(id_.split("/")) for id_ in ids]
    assert alone == any(named)
