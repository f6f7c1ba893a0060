"""What a collection says of its rows is what the marks said when they were read, whatever is asked for later."""

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.raw import read_table
from amnet_common.collection.side_by_side import JoinedCollection
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.errors import CollectionError

IDS = ("a", "bb", "c.jpg", "d", "e")
KEYS = (0, -1, np.int64(3), slice(1, 4), slice(None, None, -2), [3, 0, 3], np.array([-1, 2]), [],
        np.array([True, False, True, True, False]))  # fmt: skip


@pytest.fixture
def path(make_collection):
    """Rows 0 and 3 done, 1 and 4 failed, 2 pending."""
    path = make_collection(ids=IDS, done=[0, 3], failed={1: "no such file", 4: "cannot be decoded: \u00e9"})
    refill(path, 3, size=77, side=4)
    return path


@pytest.fixture
def linked(path, make_part, tmp_path):
    other = make_part("other.h5", {"x": 5, "longer": None})
    return link([path, other], tmp_path / "linked.h5").collection, other


def refill(path, row: int, size: int, side: int) -> None:
    """Fill a row anew, features that all are its size, boxes its side."""
    with RowWriter(path) as writer:
        writer.undo([row])
        for view in range(2):
            writer.write_view(row, view, np.full((14, 14, 1024), size, np.float16))
        writer.finish(row, ImageFacts(bytes([size]) * 32, size, 5, 640, 480), np.full((2, 5), side))


def stored(path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tables as they stand in the file: records, boxes, checksums."""
    structure = Collection(path).parts[0].structure
    planes = structure.planes
    return tuple(read_table(path, one) for one in (structure.images, planes.views, planes.checksums))


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_records_and_boxes_are_taken_by_row_as_from_arrays(path, key):
    collection, (images, boxes, checksums) = Collection(path), stored(path)
    assert collection.images[key].tobytes() == images[key].tobytes()
    assert collection.images[key].dtype == images.dtype
    np.testing.assert_array_equal(collection.boxes[key], boxes[key])
    np.testing.assert_array_equal(collection.checksums[key], checksums[key])
    views = 1 if np.ndim(boxes[key]) < 3 else np.zeros(len(boxes[key]), int)
    np.testing.assert_array_equal(collection.boxes[key, views], boxes[key, views])


def test_columns_and_whole_tables_are_those_of_the_file(path):
    collection, (images, boxes, _) = Collection(path), stored(path)
    for name in images.dtype.names:
        found = collection.images[name]
        assert (found.dtype, found.shape) == (images[name].dtype, images[name].shape), name
        np.testing.assert_array_equal(found, images[name], name)
    assert np.asarray(collection.images).tobytes() == collection.images.tobytes() == images.tobytes()
    assert collection.boxes.tobytes() == boxes.tobytes()
    assert (len(collection.images), collection.boxes.shape, collection.boxes.ndim) == (5, (5, 2, 5), 3)
    np.testing.assert_array_equal(collection.boxes[..., 4], boxes[..., 4])
    np.testing.assert_array_equal(collection.boxes[:, :1], boxes[:, :1])


@pytest.mark.parametrize("key", [5, -6, [0, 5], np.array([-6])], ids=str)
def test_rows_that_are_not_there_raise_index_error(path, key):
    collection = Collection(path)
    with pytest.raises(IndexError):
        collection.images[key]
    with pytest.raises(IndexError):
        collection.boxes[key]


def test_a_link_has_records_and_boxes_of_its_parts_in_its_order(path, linked):
    collection, other = linked
    for name in ("images", "boxes"):
        both = [np.asarray(getattr(Collection(one), name)) for one in (path, other)]
        found = np.asarray(getattr(collection, name))
        fields = found.dtype.names or (...,)
        for field in fields:
            wanted = [*both[0][field], *both[1][field]]
            np.testing.assert_array_equal(found[field], np.array(wanted), str(field))
    assert collection.images.dtype["id"] == np.dtype("S6")
    assert collection.images[[6, 1]]["id"].tolist() == [b"longer", b"bb"]
    assert [collection.error(row) for row in range(7)] == [
        "", "no such file", "", "", "cannot be decoded: \u00e9", "", ""]  # fmt: skip
    assert collection.images["error"].tolist() == [
        b"", b"no such file", b"", b"", "cannot be decoded: \u00e9".encode(), b"", b""]  # fmt: skip


@pytest.mark.parametrize("through_link", [False, True])
def test_a_row_that_is_filled_meanwhile_stays_what_it_was_until_refresh(path, linked, through_link):
    collection = linked[0] if through_link else Collection(path)
    refill(path, 2, size=9, side=6)
    assert (collection.status[2], collection.images["size"][2], collection.images[2]["width"]) == (0, 0, 0)
    collection.refresh()
    assert (collection.status[2], collection.images["size"][2], collection.images[2]["width"]) == (1, 9, 640)
    assert collection.boxes[2].tolist() == [[6.0] * 5] * 2
    assert (collection.read(2, check=True) == 9).all()


@pytest.mark.parametrize("through_link", [False, True])
def test_views_and_boxes_of_a_row_that_is_filled_anew_are_not_mixed_with_what_was_known(path, linked, through_link):
    collection = linked[0] if through_link else Collection(path)
    refill(path, 3, size=8, side=7)
    assert (collection.images["size"][3], collection.images[3]["sha256"].tobytes()) == (77, bytes([77]) * 32)
    with pytest.raises(CollectionError, match="row 3: expected its views as they were when the file was opened"):
        collection.boxes[[0, 3]]
    with pytest.raises(CollectionError, match=r"row 3 .*expected checksum"):
        collection.read(3, check=True)
    assert collection.boxes[0].shape == (2, 5)  # others are as they were
    collection.refresh()
    assert collection.images["size"][3] == 8
    assert collection.boxes[3].tolist() == [[7.0] * 5] * 2


def test_a_damaged_row_counts_as_pending_and_shows_what_stands_there(path):
    images, *_ = stored(path)
    extent = Collection(path).parts[0].structure.images
    images["error"][3], images["size"][3] = b"\0flipped", 78
    with open(path, "r+b") as file:
        file.seek(extent.offset)
        file.write(images.tobytes())
    collection = Collection(path)
    assert (collection.status[3], collection.damaged.tolist()) == (0, [3])
    assert collection.images.tobytes() == images.tobytes()
    assert collection.boxes[3].tolist() == [[4.0] * 5] * 2  # nothing says whether they hold


def test_joined_collections_keep_what_was_known_when_one_of_them_is_refreshed(path, make_uint8):
    one, two = Collection(path), Collection(make_uint8(ids=("bb", "z", "a"), name="two.h5"))
    joined = JoinedCollection([one, two])
    refill(path, 2, size=9, side=6)
    one.refresh()
    assert joined.images["size"][2] == 0
    assert joined.images["id"].tolist() == [b"a", b"bb", b"c.jpg", b"d", b"e", b"z"]
    assert joined.boxes.shape == (6, 2, 5)
    joined.refresh()
    assert joined.images["size"][2] == 9
