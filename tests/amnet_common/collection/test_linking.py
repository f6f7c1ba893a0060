"""Reading through a link: each row from the part that has it, live, and from no file that the link may not name."""

import dataclasses
import itertools
import multiprocessing
import os
import pickle
import re
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.collection.id_reading import encoded
from amnet_common.collection.joining import link
from amnet_common.collection.linking import RowsById
from amnet_common.collection.skeleton import create_link, create_skeleton
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError, MissingRowsError, SpecError


def numbers_of(features: np.ndarray) -> list[float]:
    """The one number that each view holds."""
    assert (features == features[:, :1, :1, :1]).all()
    return features[:, 0, 0, 0].tolist()


def set_uuid(path, uuid: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["uuid"] = np.bytes_(uuid.encode())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def parts(make_part):
    """Two files of other images: a and b are done, c is not; d to f are."""
    one = make_part("one.h5", {"a": 1, "b": 2, "c": None})
    two = make_part("two.h5", {"f": 6, "d": 4, "e": 5})
    return one, two


@pytest.fixture
def linked(parts, tmp_path):
    return link(parts, tmp_path / "all.h5").collection


@pytest.fixture
def shards(make_part):
    """Complementary files of one image list, as --shard makes them on a network file system."""
    one = make_part("one.h5", {"a": 1, "b": 2, "c": None, "d": None})
    two = make_part("two.h5", {"a": None, "b": None, "c": 3, "d": 4})
    return one, two


def test_rows_stand_in_the_order_of_the_parts(linked):
    assert (linked.ids, linked.status.tolist()) == (("a", "b", "c", "f", "d", "e"), [1, 1, 0, 1, 1, 1])
    assert (len(linked), linked.views, linked.dtype) == (6, 2, np.float16)


def test_any_rows_and_views_of_any_part_are_read_in_the_order_asked_for(linked):
    assert numbers_of(linked.read([4, 0, 3, 1, 5, 0], [0, 1, 1, 0, 0, 0], check=True)) == [4, 1.5, 6.5, 2, 5, 1]


def test_tables_of_the_parts_stand_in_the_order_of_the_links_rows(linked, parts):
    one, two = map(Collection, parts)
    for name in ("boxes", "checksums"):
        np.testing.assert_array_equal(getattr(linked, name), np.r_[getattr(one, name), getattr(two, name)])
    assert linked.images["width"].tolist() == [1, 2, 0, 1, 2, 3]
    assert linked.images["id"].tolist() == [b"a", b"b", b"c", b"f", b"d", b"e"]


def test_batches_are_read_through_the_link(linked):
    @dataclasses.dataclass
    class Picks:
        rows: np.ndarray
        views: np.ndarray

    picks = [Picks(np.array([5, 1]), np.array([0, 1])), Picks(np.array([3]), np.array([0]))]
    assert [numbers_of(features) for _, features in linked.batches(picks)] == [[5, 2.5], [6]]


def test_complementary_files_of_one_image_list_make_a_whole(shards, tmp_path):
    collection = link(shards, tmp_path / "all.h5").collection
    assert (collection.ids, collection.status.tolist()) == (("a", "b", "c", "d"), [1, 1, 1, 1])
    assert numbers_of(collection.read([3, 2, 1, 0], check=True)) == [4, 3, 2, 1]


def test_marks_are_read_live_while_a_part_is_being_filled(linked, parts, fill):
    with pytest.raises(MissingRowsError, match=re.escape("expected features of row 2 (c), found it pending")):
        linked.read(2)
    fill(parts[0], {2: 3})
    assert linked.status[2] == 0
    linked.refresh()
    assert linked.status.tolist() == [1] * 6
    assert numbers_of(linked.read([2, 3])) == [3, 6]


def test_row_moves_to_the_part_that_has_it_done(make_part, fill, tmp_path):
    pending = make_part("pending.h5", {"e": None})
    also = make_part("also.h5", {"e": None})
    collection = link([pending, also], tmp_path / "all.h5").collection
    fill(also, {0: 9})
    collection.refresh()
    assert numbers_of(collection.read(0)) == [9]


def test_done_goes_before_failed_and_failed_before_pending(make_collection, make_part, tmp_path):
    failed = make_collection(ids=["a", "b"], failed={0: "one: broken", 1: "one: broken"}, name="one.h5")
    other = make_part("two.h5", {"b": 2, "a": None})
    for order in ([failed, other], [other, failed]):
        out = tmp_path / f"{order[0].stem}_first.h5"
        collection = link(order, out).collection
        a, b = collection.ids.index("a"), collection.ids.index("b")
        assert (collection.status[[a, b]].tolist(), collection.error(a), collection.error(b)) == (
            [2, 1],
            "one: broken",
            "",
        )
        with pytest.raises(MissingRowsError, match=r"found it failed \(one: broken\)"):
            collection.read(a)


def test_damaged_mark_is_told_by_the_row_of_the_link(linked, parts):
    images = Collection(parts[1]).parts[0].structure.images
    with open(parts[1], "r+b") as file:
        file.seek(images.at(2) - 5)  # the last byte of row 1's error text
        file.write(b"x")
    linked.refresh()
    assert (linked.damaged.tolist(), linked.status[4]) == ([4], 0)


def test_damaged_features_are_told_by_the_row_of_the_link(linked, parts):
    with open(parts[1], "r+b") as file:
        file.seek(Collection(parts[1]).parts[0].planes.features.at(1) + 77)
        file.write(b"\x01")
    with pytest.raises(CollectionError, match=rf"{linked.path}: row 4 \(d\) view 0: expected checksum 0x\w+, found 0x"):
        linked.read([0, 4], check=True)
    assert numbers_of(linked.read([0, 4], 1, check=True)) == [1.5, 4.5]


def test_linked_file_holds_no_features(linked):
    assert linked.path.stat().st_size < 401_408
    with h5py.File(linked.path) as file:
        assert "segments" not in file
        assert file["sources"]["path"].tolist() == [b"one.h5", b"two.h5"]


def test_link_and_parts_may_be_moved_together(linked, parts, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (linked.path, *parts):
        shutil.move(path, moved / path.name)
    assert numbers_of(Collection(moved / "all.h5").read([0, 5])) == [1, 5]


def test_pickled_link_reads_the_same(linked):
    linked.read(0)
    again = pickle.loads(pickle.dumps(linked))
    assert (again.path, numbers_of(again.read([4, 0]))) == (linked.path, [4, 1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # Python 3.12 on: what is tested here
def test_link_may_be_used_after_a_fork(linked):
    linked.read([0, 3])  # the parent's threads and files are open
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(numbers_of(linked.read([5, 1]))), daemon=True)
    child.start()
    assert ours.poll(60), "the child hangs"
    assert ours.recv() == [5, 2]
    child.join()


def test_missing_part_is_named_on_opening(linked, parts):
    parts[1].unlink()
    message = f"{linked.path}: expected its part {parts[1]}, found no such file; bring it back or link again"
    with pytest.raises(CollectionError, match=re.escape(message)):
        Collection(linked.path)


def test_replaced_part_is_named_on_opening(linked, parts, make_part):
    wanted = Collection(parts[1]).uuid
    found = Collection(make_part("new.h5", {"f": 7, "d": 8, "e": 9})).uuid
    os.replace(parts[1].with_name("new.h5"), parts[1])
    message = (f"{linked.path}: expected its part {parts[1]} with uuid {wanted}, found another collection with uuid "
               f"{found}: it was replaced")  # fmt: skip
    with pytest.raises(CollectionError, match=re.escape(message)):
        Collection(linked.path)


def test_part_replaced_while_open_is_noticed_on_refresh_and_on_the_first_read(linked, parts, make_part):
    make_part("new.h5", {"f": 7, "d": 8, "e": 9})
    os.replace(parts[1].with_name("new.h5"), parts[1])
    message = f"{parts[1]}: expected the file that was opened, found another of its name: it was replaced meanwhile"
    with pytest.raises(CollectionError, match=re.escape(message)):
        linked.read(3)
    with pytest.raises(CollectionError, match=re.escape(message)):
        linked.refresh()


def test_refused_reads_leave_no_file_open(linked, parts, make_part):
    make_part("new.h5", {"f": 7, "d": 8, "e": 9})
    os.replace(parts[1].with_name("new.h5"), parts[1])
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(CollectionError, match="it was replaced meanwhile"):
            linked.read(3)
    assert open_descriptors() == before


def test_part_that_comes_to_overlap_is_refused_with_both_names(shards, tmp_path, fill):
    collection = link(shards, tmp_path / "all.h5").collection
    fill(shards[1], {1: 2})
    one, two = shards
    message = f"{two}: expected ids that no other part has features of, found 'b' in {one} too (1 ids overlap)"
    for read_again in (collection.refresh, lambda: Collection(collection.path)):
        with pytest.raises(CollectionError, match=re.escape(message)):
            read_again()


def test_part_of_another_spec_is_refused_with_the_differing_fields(linked, parts, tmp_path, spec):
    uuid = Collection(parts[1]).uuid
    parts[1].unlink()
    other = dataclasses.replace(spec, seed=7)
    create_skeleton(parts[1], Dataset("test", tmp_path, ("f", "d", "e")), 2, other, {}, {})
    set_uuid(parts[1], uuid)
    message = f"{linked.path}: expected parts of one spec, found {parts[1]} to differ: seed: expected 0, found 7"
    with pytest.raises(SpecError, match=re.escape(message)):
        Collection(linked.path)


def test_part_with_another_number_of_views_is_refused(linked, parts, make_collection):
    uuid = Collection(parts[1]).uuid
    parts[1].unlink()
    make_collection(ids=["f", "d", "e"], views=3, name="two.h5")
    set_uuid(parts[1], uuid)
    message = f"{linked.path}: expected parts with 2 views an image as {parts[0]}, found {parts[1]} with 3"
    with pytest.raises(CollectionError, match=re.escape(message)):
        Collection(linked.path)


def test_id_that_no_part_has_is_refused(parts, tmp_path, spec):
    sources = [(path.name, Collection(path).uuid) for path in parts]
    create_link(tmp_path / "odd.h5", Dataset("linked", tmp_path, ("a", "zebra")), spec, sources, {})
    with pytest.raises(CollectionError, match=r"expected every id of the link, found none that has 'zebra'"):
        Collection(tmp_path / "odd.h5")


def test_part_named_twice_is_refused(parts, tmp_path, spec):
    sources = [(name, Collection(parts[0]).uuid) for name in ("one.h5", "./one.h5")]
    create_link(tmp_path / "odd.h5", Dataset("linked", tmp_path, ("a",)), spec, sources, {})
    with pytest.raises(CollectionError, match=rf"odd.h5: expected each part once, found {parts[0]} again"):
        Collection(tmp_path / "odd.h5")


@pytest.fixture
def linked_from_elsewhere(parts, tmp_path, spec):
    """make(name as it stands in the link) -> path of a link in a folder of its own, to one.h5 outside it."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def make(name: str):
        sources = [(name, Collection(parts[0]).uuid)]
        create_link(folder / "all.h5", Dataset("linked", tmp_path, ("a", "b")), spec, sources, {})
        return folder / "all.h5"

    return make


@pytest.mark.parametrize("way", ["../one.h5", "{0}/one.h5", "symlink.h5", "symlinked/one.h5", "../folder/../one.h5"])
def test_part_outside_the_folder_is_refused_unless_allowed(linked_from_elsewhere, tmp_path, monkeypatch, way):
    path = linked_from_elsewhere(way.format(tmp_path))
    (path.parent / "symlink.h5").symlink_to(tmp_path / "one.h5")
    (path.parent / "symlinked").symlink_to(tmp_path)
    message = (f"{path}: expected parts below {path.parent}, found {tmp_path / 'one.h5'}; allow its folder with "
               "AMNET_LINK_ROOTS=FOLDER if you trust the link")  # fmt: skip
    with pytest.raises(CollectionError, match=re.escape(message)):
        Collection(path)
    monkeypatch.setenv("AMNET_LINK_ROOTS", f"/no/such/folder:{tmp_path}")
    assert numbers_of(Collection(path).read([0, 1])) == [1, 2]


def test_folder_whose_name_only_begins_alike_is_outside(linked_from_elsewhere, tmp_path, monkeypatch):
    (tmp_path / "folder_2").mkdir()
    shutil.move(tmp_path / "one.h5", tmp_path / "folder_2" / "one.h5")
    monkeypatch.setenv("AMNET_LINK_ROOTS", str(tmp_path / "fold"))
    shutil.copy(tmp_path / "folder_2" / "one.h5", tmp_path / "one.h5")
    path = linked_from_elsewhere("../folder_2/one.h5")
    message = f"expected parts below {path.parent}, found {tmp_path}/folder_2/one.h5"
    with pytest.raises(CollectionError, match=re.escape(message)):
        Collection(path)


def test_link_opened_through_a_symbolic_link_elsewhere_finds_its_parts(make_collection, tmp_path):
    link([make_collection(done=[0, 1])], tmp_path / "all.h5")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.h5").symlink_to(tmp_path / "all.h5")
    assert Collection(tmp_path / "elsewhere" / "mine.h5").read([0, 1], check=True).shape[0] == 2


@given(st.data())
def test_rows_by_id_are_found_whatever_order_the_parts_have(data):
    ids = data.draw(st.lists(st.sampled_from([f"{number}.jpg" for number in range(30)]), unique=True, min_size=1))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=3)))
    parts = [ids[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(ids)])]
    parts = data.draw(st.permutations([*parts, data.draw(st.permutations([*ids, "other.jpg"]))]))
    find = RowsById(ids, encoded(ids))
    for part in parts:
        rows, own = find.held_by(encoded(part))
        wanted = [(ids.index(id_), number) for number, id_ in enumerate(part) if id_ in ids]
        assert list(zip(rows.tolist(), own.tolist(), strict=True)) == wanted
