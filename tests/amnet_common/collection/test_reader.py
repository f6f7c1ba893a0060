"""Reading views: the same arrays as h5py gives, into any buffer, from any process or thread."""

import multiprocessing
import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.datasets.records import SplitList
from amnet_common.errors import CollectionError, MissingRowsError

REASON = "cannot be decoded: broken"


@pytest.fixture
def path(make_collection):
    """Rows 0, 1 and 3 done, row 2 failed, row 4 pending; two views."""
    return make_collection(ids=["a", "b", "c", "d", "e"], done=[0, 1, 3], failed={2: REASON})


def test_views_equal_those_of_h5py_and_what_was_written(path, make_collection):
    collection = Collection(path)
    with h5py.File(path) as file:
        for row, view in [(0, 0), (0, 1), (1, 0), (3, 1)]:
            found = collection.read(row, view)[0]
            np.testing.assert_array_equal(found, file["features"][row, view])
            np.testing.assert_array_equal(found, make_collection.features_of(row, view))


PICKS = st.lists(st.tuples(st.sampled_from([0, 1, 3]), st.integers(0, 1)), max_size=6)


def test_any_rows_and_views_come_in_the_order_asked_for(path, make_collection):
    collection = Collection(path)

    @given(PICKS, st.booleans())
    def check(picks, checked):
        rows, views = [row for row, _ in picks], [view for _, view in picks]
        wanted = [make_collection.features_of(row, view) for row, view in picks]
        found = collection.read(rows, views, check=checked)
        assert found.shape == (len(picks), 14, 14, 1024)
        assert all(map(np.array_equal, found, wanted))

    check()


def test_dequantised_views_are_float32_of_the_same_values(path):
    collection = Collection(path)
    values = collection.read_dequantised([0, 3], [1, 0])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, collection.read([0, 3], [1, 0]))


@pytest.mark.parametrize("make", [np.empty, lambda shape, _: torch.empty(shape, dtype=torch.float16)])
def test_views_are_read_into_the_callers_buffer(path, make):
    collection, out = Collection(path), make((3, 14, 14, 1024), np.float16)
    assert collection.read([3, 0, 1], [0, 1, 1], out=out) is out
    np.testing.assert_array_equal(np.asarray(out), collection.read([3, 0, 1], [0, 1, 1]))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((1, 14, 14, 1024), np.float16),
        np.empty((2, 14, 14, 1024), np.float32),
        np.empty((2, 14, 14, 1024), ">f2"),
        np.empty((2, 14, 14, 2048), np.float16)[..., ::2],
        torch.empty((2, 14, 14, 1024), dtype=torch.float32),
    ],
)
def test_wrong_buffer_is_refused(path, out):
    with pytest.raises(ValueError, match=re.escape("out: expected C-contiguous (2, 14, 14, 1024) float16, found")):
        Collection(path).read([0, 1], out=out)


@pytest.mark.parametrize(("row", "found"), [(2, f"failed ({REASON})"), (4, "pending")])
def test_rows_without_features_are_never_served(path, row, found):
    message = f"{path}: expected features of row {row} ({'abcde'[row]}), found it {found}"
    with pytest.raises(MissingRowsError, match=re.escape(message)):
        Collection(path).read([0, row])


@pytest.mark.parametrize(
    ("rows", "views", "message"),
    [
        (5, 0, "expected a row in 0..4, found 5"),
        (-1, 0, "expected a row in 0..4, found -1"),
        (0, 2, "expected a view in 0..1, found 2"),
        (0, -1, "expected a view in 0..1, found -1"),
        ([True, False], 0, "rows: expected integers, found bool"),
        ([0.5], 0, "rows: expected integers, found float64"),
    ],
)
def test_rows_and_views_that_do_not_exist_are_refused(path, rows, views, message):
    with pytest.raises(IndexError, match=re.escape(message)):
        Collection(path).read(rows, views)


def test_failed_row_keeps_its_id_and_reason(path):
    collection = Collection(path)
    assert collection.status.tolist() == [1, 1, 2, 1, 0]
    assert (collection.ids[2], collection.error(2), collection.error(0)) == ("c", REASON, "")


def test_split_gives_rows_and_scores_and_names_what_there_is(make_collection):
    split = SplitList(np.array([3, 1]), np.array([0.4, 0.2]))
    collection = Collection(make_collection(splits={"train_1": split}))
    assert (collection.split("train_1").rows.tolist(), collection.split("train_1").scores.tolist()) == (
        [3, 1],
        [0.4, 0.2],
    )
    with pytest.raises(CollectionError, match=re.escape("expected split list 'val_1', found ['train_1']")):
        collection.split("val_1")


def test_pickled_collection_reads_the_same(path):
    collection = Collection(path, threads=2)
    collection.read(0)
    again = pickle.loads(pickle.dumps(collection))
    assert (again.path, again.threads) == (path, 2)
    np.testing.assert_array_equal(again.read([1, 3]), collection.read([1, 3]))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # Python 3.12 on: what is tested here
def test_collection_may_be_used_after_a_fork(path):
    collection = Collection(path, threads=1)  # a pool that is full: a child that trusts it waits for ever
    wanted = collection.read([3, 0])  # the parent's threads and file are open
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(collection.read([3, 0])), daemon=True)  # inherits, not unpickles
    child.start()
    assert ours.poll(60), "the child hangs"
    np.testing.assert_array_equal(ours.recv(), wanted)
    child.join()


def test_several_threads_may_read_at_once(path):
    collection = Collection(path)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda i: collection.read([0, 1, 3], i % 2), range(24)))
    wanted = [collection.read([0, 1, 3], view) for view in (0, 1)]
    assert all(np.array_equal(found, wanted[i % 2]) for i, found in enumerate(results))


def test_repr_says_how_much_is_done(path):
    assert repr(Collection(path)) == f"Collection({str(path)!r}: 3 of 5 images done, 2 views, float16)"


def test_unpickling_refuses_another_collection_of_the_same_name(make_collection):
    path = make_collection(done=[0])
    pickled = pickle.dumps(Collection(path))
    os.replace(make_collection(name="other.h5"), path)
    with pytest.raises(CollectionError, match=rf"{path}: expected the collection \w+ that was pickled, found \w+"):
        pickle.loads(pickled)


@pytest.mark.parametrize("first", ["h5py", "amnet"])
def test_a_file_that_the_same_process_holds_open_by_h5py_opens_in_both_orders(make_collection, first):
    path = make_collection(done=(0,))
    if first == "h5py":
        with h5py.File(path) as file:
            assert Collection(path).ids[0] == file["images"]["id"][0].decode()
    else:
        collection = Collection(path)
        with h5py.File(path) as file:
            assert collection.read([0]).shape == (1, *file["features"].shape[2:])
