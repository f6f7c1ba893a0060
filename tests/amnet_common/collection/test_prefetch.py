"""Batches read ahead: in order, whole, in few buffers, and with errors where they belong."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.collection.prefetch import read_ahead
from amnet_common.errors import CollectionError, MissingRowsError


@dataclass(frozen=True, eq=False)
class Picks:
    rows: np.ndarray
    views: np.ndarray
    name: str = ""


def picks_of(*rows: list[int]) -> list[Picks]:
    return [Picks(np.array(some, np.int64), np.zeros(len(some), np.int64)) for some in rows]


def read(rows: np.ndarray, views: np.ndarray, out: np.ndarray) -> np.ndarray:
    """A view of two numbers, ten times its row and its view."""
    out[:, 0], out[:, 1] = 10 * rows, views
    return out


def new_buffer(count: int) -> np.ndarray:
    return np.full((count, 2), -1.0)


@given(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=8), st.integers(0, 3))
def test_batches_come_in_order_and_whole_whatever_their_sizes(rows, ahead):
    batches = picks_of(*rows)
    found = [(picks, features.copy()) for picks, features in read_ahead(read, new_buffer, iter(batches), ahead)]
    assert [picks for picks, _ in found] == batches
    assert [features[:, 0].tolist() for _, features in found] == [[10.0 * row for row in some] for some in rows]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_buffers_are_used_again_and_bounded_in_number(ahead):
    made, used = [], []

    def counted(count):
        made.append(new_buffer(count))
        return made[-1]

    for _, features in read_ahead(read, counted, picks_of(*[[row, row + 1] for row in range(12)]), ahead):
        used.append(id(features.base))
    assert len(made) == ahead + 1
    assert set(used) == set(map(id, made))
    assert len(used) == 12


def test_smaller_batches_take_part_of_a_buffer_and_larger_ones_a_new_one():
    made = []

    def counted(count):
        made.append(count)
        return new_buffer(count)

    sizes = [3, 3, 1, 2, 5, 1, 3]
    found = [len(features) for _, features in read_ahead(read, counted, picks_of(*[[0] * n for n in sizes]), 1)]
    assert found == sizes
    assert made == [3, 3, 5]


def test_features_stay_valid_until_the_next_batch_is_asked_for():
    batches = read_ahead(read, new_buffer, picks_of(*[[row] for row in range(6)]), 2)
    for row, (_, features) in enumerate(batches):
        before = features.copy()
        threading.Event().wait(0.01)  # time for reads behind it
        np.testing.assert_array_equal(features, before)
        assert features[0, 0] == 10 * row


def test_next_batches_are_read_while_one_is_in_use():
    begun = [threading.Event() for _ in range(4)]

    def announced(rows, views, out):
        begun[rows[0]].set()
        return read(rows, views, out)

    batches = read_ahead(announced, new_buffer, picks_of([0], [1], [2], [3]), 2)
    next(batches)
    assert begun[2].wait(60)
    assert not begun[3].is_set()
    batches.close()


def test_error_of_a_read_surfaces_at_its_own_batch():
    def failing(rows, views, out):
        if rows[0] == 2:
            raise CollectionError("row 2: damaged")
        return read(rows, views, out)

    found = []
    with pytest.raises(CollectionError, match="row 2: damaged"):
        found.extend(features[0, 0] for _, features in read_ahead(failing, new_buffer, picks_of([0], [1], [2], [3]), 3))
    assert found == [0, 10]


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_batches_may_be_given_up_early_and_leave_no_thread(taken):
    before = threading.active_count()
    asked = []

    def endless():
        while True:
            asked.append(len(asked))
            yield from picks_of([len(asked)])

    batches = read_ahead(read, new_buffer, endless(), 2)
    for _ in range(taken):
        next(batches)
    batches.close()
    assert threading.active_count() == before
    assert len(asked) == (taken + 2 if taken else 0)


def test_no_batches_give_none():
    assert list(read_ahead(read, new_buffer, [], 1)) == []


def test_collection_gives_each_pick_back_with_its_features(make_collection):
    collection = Collection(make_collection(done=[0, 1, 3]))
    batches = [
        Picks(np.array([3, 0]), np.array([1, 0]), "first"),
        Picks(np.array([1]), np.array([1]), "second"),
        Picks(np.array([], np.int64), np.array([], np.int64), "none"),
        Picks(np.array([0, 1, 3]), np.array([1, 0, 0]), "last"),
    ]
    names = []
    for picks, features in collection.batches(iter(batches), ahead=2):
        names.append(picks.name)
        wanted = [make_collection.features_of(row, view) for row, view in zip(picks.rows, picks.views, strict=True)]
        assert features.shape == (len(wanted), 14, 14, 1024)
        assert all(map(np.array_equal, features, wanted))
    assert names == ["first", "second", "none", "last"]


def test_pending_row_is_refused_at_its_batch(make_collection):
    batches = Collection(make_collection(done=[0, 1])).batches(picks_of([0], [1], [2], [0]))
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(MissingRowsError, match=r"expected features of row 2 \(c.jpg\), found it pending"):
        next(batches)


def test_batches_are_compared_with_their_checksums_unless_told_otherwise(make_collection):
    path = make_collection(done=[0, 1])
    with open(path, "r+b") as file:
        file.seek(Collection(path).parts[0].planes.features.at(1))
        file.write(b"\x01\x02")
    with pytest.raises(CollectionError, match=r"row 1 \(b.jpg\) view 0: expected checksum"):
        list(Collection(path).batches(picks_of([0], [1])))
    assert len(list(Collection(path).batches(picks_of([0], [1]), check=False))) == 2
