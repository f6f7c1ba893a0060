"""Which views an epoch shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headtrain.batches import epoch_picks, ordered_picks

ROWS = np.arange(100, 150)


def joined(picks):
    return [np.concatenate(column) for column in zip(*picks, strict=True)]


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_shows_every_row_once(batch_size, views, epoch):
    rows, _, places = joined(epoch_picks(ROWS, views, 0, epoch, batch_size))
    assert sorted(rows) == ROWS.tolist()
    assert np.array_equal(ROWS[places], rows)


def test_training_shows_augmented_views_only():
    views = joined(epoch_picks(ROWS, 4, 0, 1, 8))[1]
    assert set(views) == {1, 2, 3}


def test_training_shows_view_0_where_there_is_no_other():
    assert set(joined(epoch_picks(ROWS, 1, 0, 1, 8))[1]) == {0}


def test_epochs_differ_and_can_be_repeated():
    first, again, second = (joined(epoch_picks(ROWS, 4, 0, epoch, 8)) for epoch in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], second[0])


def test_reading_ahead_gives_each_batch_its_own_features(make_learnable):
    collection = make_learnable()
    picks = epoch_picks(np.arange(40), 2, 0, 1, 7)
    for batch, features in collection.batches(picks):
        assert np.array_equal(features, collection.read(batch.rows, batch.views))


def test_ordered_picks_keep_the_order_and_the_view():
    rows, views, places = joined(ordered_picks(ROWS, 3, 7))
    assert np.array_equal(rows, ROWS)
    assert set(views) == {3}
    assert np.array_equal(places, np.arange(50))
