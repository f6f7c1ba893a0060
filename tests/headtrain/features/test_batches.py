"""Which views an epoch shows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtrain.features.batches import epoch_picks, ordered_picks, views_an_epoch
from headtrain.settings.configuration import TrainingConfig

ROWS, EIGHT = np.arange(100, 150), TrainingConfig(batch_size=8)


def joined(picks):
    return [np.concatenate(column) for column in zip(*picks, strict=True)]


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_shows_every_row_once(batch_size, views, epoch):
    rows, _, positions = joined(epoch_picks(ROWS, views, TrainingConfig(batch_size=batch_size), epoch))
    assert sorted(rows) == ROWS.tolist()
    assert np.array_equal(ROWS[positions], rows)


def test_training_shows_augmented_views_only():
    views = joined(epoch_picks(ROWS, 4, EIGHT, 1))[1]
    assert set(views) == {1, 2, 3}


def test_training_shows_view_0_where_there_is_no_other():
    assert set(joined(epoch_picks(ROWS, 1, EIGHT, 1))[1]) == {0}


def test_epochs_differ_and_can_be_repeated():
    first, again, second = (joined(epoch_picks(ROWS, 4, EIGHT, epoch)) for epoch in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], second[0])


def test_reading_ahead_gives_each_batch_its_own_features(make_learnable):
    collection = make_learnable()
    picks = epoch_picks(np.arange(40), 2, TrainingConfig(batch_size=7), 1)
    for batch, features in collection.batches(picks):
        assert np.array_equal(features, collection.read(batch.rows, batch.views))


def test_ordered_picks_keep_the_order_and_the_view():
    rows, views, positions = joined(ordered_picks(ROWS, 3, 7))
    assert np.array_equal(rows, ROWS)
    assert set(views) == {3}
    assert np.array_equal(positions, np.arange(50))


def test_all_augmented_views_of_every_row_can_be_shown_in_one_epoch():
    rows, views, positions = joined(epoch_picks(ROWS, 4, TrainingConfig(batch_size=16, views="all"), 1))
    pairs = set(zip(rows.tolist(), views.tolist(), strict=True))
    assert pairs == {(row, view) for row in ROWS.tolist() for view in (1, 2, 3)}
    assert len(rows) == 150
    assert np.array_equal(ROWS[positions], rows)


@pytest.mark.parametrize(("augs", "shown"), [(0, {0}), (1, {1}), (2, {1, 2}), (None, {1, 2, 3})])
@pytest.mark.parametrize("views", ["random", "all"])
def test_only_the_first_augs_augmented_views_are_shown(views, augs, shown):
    settings = TrainingConfig(batch_size=8, views=views, augs=augs)
    found = joined(epoch_picks(ROWS, 4, settings, 1))[1]
    assert set(found) == shown
    assert len(found) == views_an_epoch(len(ROWS), 4, settings)


def test_the_first_augmented_view_alone_can_be_shown():
    assert set(joined(epoch_picks(ROWS, 4, TrainingConfig(batch_size=8, views="first"), 1))[1]) == {1}


@pytest.mark.parametrize(("batch_size", "sizes"), [(16, [16, 16, 16]), (60, [50])])
def test_the_last_incomplete_batch_can_be_left_out_but_never_the_only_one(batch_size, sizes):
    picks = epoch_picks(ROWS, 2, TrainingConfig(batch_size=batch_size, drop_last=True), 1)
    assert [len(batch.rows) for batch in picks] == sizes


@pytest.mark.parametrize(("images", "least", "passes"), [(50, 0, 1), (50, 7, 1), (50, 8, 2), (17, 6, 2), (8, 4, 4),
                                                        (3, 4, 4)])  # fmt: skip
def test_few_images_are_shown_again_until_an_epoch_has_its_updates(images, least, passes):
    settings = TrainingConfig(batch_size=8, least_updates=least)
    picks = epoch_picks(ROWS[:images], 4, settings, 1)
    assert len(picks) >= settings.least_updates
    rows, _, positions = joined(picks)
    assert np.array_equal(ROWS[positions], rows)
    for one in np.split(rows, passes):  # each pass shows every image
        assert sorted(one) == ROWS[:images].tolist()
    assert len(rows) == views_an_epoch(images, 4, settings)


@pytest.mark.parametrize("views", ["random", "all"])
def test_the_first_pass_of_an_epoch_is_the_epoch_of_one_pass(views):
    settings = TrainingConfig(batch_size=8, views=views)
    once = epoch_picks(ROWS, 4, settings, 2)
    thrice = epoch_picks(ROWS, 4, replace(settings, least_updates=3 * len(once)), 2)
    assert len(thrice) == 3 * len(once)
    for a, b in zip(once, thrice, strict=False):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(thrice[0].rows, thrice[len(once)].rows)
