"""Folds: who stands in which list, and that order, groups and scores are respected."""

from itertools import combinations

import numpy as np
import pytest

from amnet_common.datasets.folds import Folding, fold_lists, times_tested, united, usual_folding
from amnet_common.datasets.records import SplitList
from amnet_common.errors import ConfigError, DatasetError

FIVE = Folding()


def made(count, folding=FIVE, labels=None, seed=0, known=None):
    """Ids, scores and lists of so many images, `known` of which have a score."""
    ids = [f"{i:04}.jpg" for i in range(count)]
    scores = np.random.default_rng(seed).normal(size=count)
    if known is not None:
        scores[known:] = np.nan
    together = united(labels if labels is not None else range(count))
    return ids, scores, fold_lists(ids, scores, together, folding, "f.h5")


@pytest.mark.parametrize(("count", "folds"), [(10, 5), (23, 3), (300, 5), (301, 10), (997, 4)])
def test_each_image_is_tested_once_and_stands_in_one_list_of_each_split(count, folds):
    _, _, lists = made(count, Folding(folds))
    assert set(lists) == {f"{part}_{k}" for part in ("train", "val", "test") for k in range(1, folds + 1)}
    tests = [lists[f"test_{k}"].rows for k in range(1, folds + 1)]
    assert sorted(np.concatenate(tests)) == list(range(count))
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    for k in range(1, folds + 1):
        every = np.concatenate([lists[f"{part}_{k}"].rows for part in ("train", "val", "test")])
        assert sorted(every) == list(range(count))


@pytest.mark.parametrize(("count", "share"), [(100, 1 / 5), (300, 1 / 5), (500, 1 / 8), (2000, 1 / 8)])
def test_validation_is_a_fifth_to_an_eighth_of_what_is_not_tested(count, share):
    _, _, lists = made(count)
    rest = len(lists["train_1"].rows) + len(lists["val_1"].rows)
    assert len(lists["val_1"].rows) == pytest.approx(share * rest, abs=1)


def test_every_run_of_as_many_scores_as_folds_goes_to_all_folds():
    _, scores, lists = made(303)
    order = np.argsort(scores)
    fold_of = np.empty(303, int)
    for k in range(1, 6):
        fold_of[lists[f"test_{k}"].rows] = k
    assert all(sorted(fold_of[order[i : i + 5]]) == [1, 2, 3, 4, 5] for i in range(0, 300, 5))


def test_lists_do_not_depend_on_the_order_of_rows():
    ids, scores, lists = made(120, Folding(4, 2, 7), labels=[i // 3 for i in range(120)])
    order = np.random.default_rng(3).permutation(120)
    shuffled = [ids[i] for i in order]
    again = fold_lists(shuffled, scores[order], united([i // 3 for i in order]), Folding(4, 2, 7), "f.h5")
    assert list(again) == list(lists)
    for name, split in lists.items():
        assert [shuffled[row] for row in again[name].rows] == [ids[row] for row in split.rows]
        assert np.array_equal(again[name].scores, split.scores)


def test_seeds_and_repeats_deal_otherwise_and_a_first_dealing_stays_as_it_was():
    _, _, lists = made(100)
    _, _, other = made(100, Folding(seed=1))
    _, _, more = made(100, Folding(repeats=3))
    assert any(not np.array_equal(lists[name].rows, other[name].rows) for name in lists)
    assert all(np.array_equal(lists[name].rows, more[name].rows) for name in lists)
    assert not np.array_equal(np.sort(more["test_1"].rows), np.sort(more["test_6"].rows))
    assert times_tested(more) == 3


def test_no_group_stands_in_two_lists_of_a_split_and_large_ones_leave_folds_equal():
    sizes = [40, 17, 9, 9, 8, 5, 5, 5, 4, 4, 3, 3, 2, 2, *[1] * 84]
    labels = np.repeat(range(len(sizes)), sizes)
    _, _, lists = made(200, labels=labels.tolist())
    for k in range(1, 6):
        named = [set(labels[lists[f"{part}_{k}"].rows]) for part in ("train", "val", "test")]
        assert all(not a & b for a, b in combinations(named, 2))
    assert [len(lists[f"test_{k}"].rows) for k in range(1, 6)] == [40] * 5


def test_images_without_a_score_stand_in_no_list():
    _, _, lists = made(60, known=50)
    assert max(split.rows.max() for split in lists.values()) == 49


def test_one_fold_is_a_split_of_seventy_ten_and_twenty_per_cent():
    _, _, lists = made(1000, Folding(1))
    assert {name: len(split.rows) for name, split in lists.items()} == {"train_1": 700, "val_1": 100, "test_1": 200}
    assert usual_folding(5000).folds == 5
    assert usual_folding(5001).folds == 1
    assert times_tested(lists) == 0


def test_what_is_joined_by_way_of_others_is_one_group():
    found = united(["a", None, "b", "b", None], [1, 2, 1, 3, None])
    assert [found[0] == found[row] for row in range(5)] == [True, False, True, True, False]
    assert found[1] != found[4]


@pytest.mark.parametrize(("count", "labels", "message"), [
    (9, None, "f.h5: expected at least 10 images with a score for 5 folds, found 9"),
    (20, [0] * 8 + [1] * 12, "f.h5: expected at least 5 groups for 5 folds, found 2"),
])  # fmt: skip
def test_too_few_images_or_groups_are_refused(count, labels, message):
    with pytest.raises(DatasetError, match=message):
        made(count, labels=labels)


@pytest.mark.parametrize(("values", "message"), [
    ({"folds": 0}, "--folds: expected 1 or more, found 0"),
    ({"repeats": -1}, "--repeats: expected 1 or more, found -1"),
])  # fmt: skip
def test_less_than_one_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Folding(**values)


def test_more_lists_than_a_collection_may_have_are_refused():
    with pytest.raises(DatasetError, match="--folds 10 --repeats 101: expected at most 3000 split lists, found 3030"):
        Folding(10, 101)


@pytest.mark.parametrize("lists", [
    {"train_1": [0, 1], "test_1": [2]},  # trained on alone
    {"train_1": [1], "test_1": [0], "train_2": [0], "test_2": [0, 1]},  # unevenly, and seen
    {"train_1": [0, 1], "test_1": [0, 1], "train_2": [0, 1], "test_2": [0, 1]},  # seen
    {},
])  # fmt: skip
def test_other_lists_are_no_folds(lists):
    splits = {name: SplitList(np.array(rows), np.zeros(len(rows))) for name, rows in lists.items()}
    assert times_tested(splits) == 0
