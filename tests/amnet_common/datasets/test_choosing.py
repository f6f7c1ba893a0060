"""Which files below a folder are taken: what is left out by itself, what --exclude and --include say."""

import pytest

from amnet_common.datasets import Choice, load_dataset
from amnet_common.errors import DatasetError

LEFT_OUT = [
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "x/@eaDir/b.jpg",
    "#recycle/c.jpg",
    "$RECYCLE.BIN/S-1-5/d.jpg",
    "$Recycle.Bin/e.jpg",
    "@Recycle/f.jpg",
    "Previews.lrdata/g.jpg",
    "Photos Library.photoslibrary/resources/derivatives/h.jpg",
    "__MACOSX/i.jpg",
]
TAKEN = ["a.jpg", "b/c.png", "b/d.jpg", "Photos Library.photoslibrary/originals/1/j.jpg", "resources/derivatives/k.jpg"]


@pytest.fixture
def tree(tmp_path):
    """tree(names, root="photos") -> a folder of empty files."""

    def make(names, root="photos"):
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / root

    return make


def ids(root, exclude=(), include=()) -> set[str]:
    return set(load_dataset("folder", root, choice=Choice(exclude, include)).ids)


def test_thumbnails_and_bins_are_left_out_and_said(tree):
    root = tree(TAKEN + LEFT_OUT)
    dataset = load_dataset("folder", root)
    assert set(dataset.ids) == set(TAKEN)
    (note,) = dataset.notes
    assert note == "left out, 9 folders of thumbnails, previews or bins, such as #recycle; --include NAME takes them"


def test_root_that_is_itself_such_a_folder_is_read(tree):
    assert ids(tree(["a.jpg"], root="@eaDir")) == {"a.jpg"}


def test_derivatives_of_a_library_that_is_the_root_are_left_out(tree):
    assert ids(tree(["resources/derivatives/a.jpg", "originals/b.jpg"], root="My.photoslibrary")) == {"originals/b.jpg"}


@pytest.mark.parametrize(
    ("include", "also"),
    [
        ("@eaDir", {name for name in LEFT_OUT if "@eaDir" in name}),
        ("x/@eaDir", {"x/@eaDir/b.jpg"}),
        ("x/@eadir", {"x/@eaDir/b.jpg"}),
        ("*.lrdata", {"Previews.lrdata/g.jpg"}),
        ("*", set(LEFT_OUT)),
    ],
)
def test_folder_left_out_by_itself_is_taken_where_it_is_named(tree, include, also):
    root = tree(TAKEN + LEFT_OUT)
    found = ids(root, include=(include,))
    assert also <= found
    assert not (set(LEFT_OUT) - also) & found
    assert set(TAKEN) <= found


@pytest.mark.parametrize(
    ("exclude", "include", "wanted"),
    [
        (("*.png",), (), {"a.jpg", "b/d.jpg"}),
        (("b",), (), {"a.jpg"}),
        (("b/",), (), {"a.jpg"}),
        (("b/c*",), (), {"a.jpg", "b/d.jpg"}),
        (("./a.jpg",), (), {"b/c.png", "b/d.jpg"}),
        (("**/d.jpg", "**/a.jpg"), (), {"b/c.png"}),
        (("[ab].jpg",), (), {"b/c.png", "b/d.jpg"}),
        ((), ("*.png",), {"b/c.png"}),
        ((), ("*.png", "a.*"), {"a.jpg", "b/c.png"}),
        ((), ("b",), {"b/c.png", "b/d.jpg"}),
        ((), ("b/*.jpg",), {"b/d.jpg"}),
        (("c.*",), ("b",), {"b/d.jpg"}),
        (("A.JPG",), (), {"a.jpg", "b/c.png", "b/d.jpg"}),
    ],
)
def test_patterns_choose_files(tree, exclude, include, wanted):
    assert ids(tree(["a.jpg", "b/c.png", "b/d.jpg"]), exclude, include) == wanted


def test_only_images_takes_no_thumbnails_with_them(tree):
    assert ids(tree(TAKEN + LEFT_OUT), include=("*.jpg",)) == {name for name in TAKEN if name.endswith(".jpg")}


def test_other_files_are_counted_by_suffix(tree):
    names = ["a.jpg", "IMG.CR2", "b/img.cr2", "c.jxl", "notes", "d.jpg.xmp", ".hidden", "e.hif", "f.mpo"]
    dataset = load_dataset("folder", tree(names))
    assert dataset.ids == ("a.jpg", "e.hif", "f.mpo")
    assert dataset.notes == ("left aside, no image's suffix: 2 .cr2, 1 without a suffix, 1 .jxl, 1 .xmp",)


def test_folder_of_raws_alone_says_what_is_there(tree):
    with pytest.raises(DatasetError, match=r"found none for .*; left aside, no image's suffix: 2 \.nef, 1 \.dng$"):
        load_dataset("folder", tree(["a.nef", "b.NEF", "c.dng"]))


def test_many_kinds_of_files_make_one_short_line(tree):
    dataset = load_dataset("folder", tree(["a.jpg", *(f"a.k{i}" for i in range(100))]))
    assert dataset.notes[0].endswith(", 88 others")


def test_patterns_go_with_a_folder_alone(tmp_path):
    with pytest.raises(DatasetError, match=r"--exclude and --include go with --dataset folder, and only .* lamem"):
        load_dataset("lamem", tmp_path, choice=Choice(exclude=("*",)))
