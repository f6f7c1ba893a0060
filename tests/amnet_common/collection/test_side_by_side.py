"""Several collections of the same images as one, against joins that are written out here in NumPy."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection, JoinedCollection
from amnet_common.collection.folding import folded
from amnet_common.collection.grids import area_shares, pooled_to
from amnet_common.collection.layout import DONE, FAILED, PENDING
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from amnet_common.datasets.folds import Folding
from amnet_common.errors import CollectionError, MissingRowsError

IDS = tuple(f"{row}.jpg" for row in range(6))
LISTS = {"train_1": IDS[:2], "val_1": IDS[2:4], "test_1": IDS[4:]}
SCORE = {id_: 0.1 * (row + 1) for row, id_ in enumerate(IDS)}
TURNED = ("4.jpg", "1.jpg", "5.jpg", "0.jpg", "3.jpg", "2.jpg")


@pytest.fixture
def make(tmp_path, spec):
    """make(name, shape, ids=..., ...) -> a Collection, and `make.features(name, id, view)`, what it holds."""
    held = {}

    def make(
        name, shape, ids=IDS, views=2, done=None, failed=(), lists=LISTS, score=SCORE, codes=False, plan="t", sha=b"",
        id_of=lambda id_: id_,
    ):  # fmt: skip
        scales = np.linspace(0.01, 0.02, shape[2]).astype(np.float32) if codes else None
        of = replace(spec, trunk=f"net-{name}", view_shape=shape, view_plan={"name": plan, "augs": views - 1})
        if codes:
            of = replace(of, dtype="uint8", scales_sha256=scales_sha256(scales))
        row_of = {id_: row for row, id_ in enumerate(ids)}
        splits = {key: SplitList(np.array([row_of[one] for one in some if one in row_of]),
                                 np.array([score[one] for one in some if one in row_of]))
                  for key, some in lists.items()}  # fmt: skip
        path, labels = tmp_path / f"{name}.h5", np.array([score.get(one, np.nan) for one in ids])
        stored = tuple(map(id_of, ids))
        create_skeleton(path, Dataset("test", tmp_path, stored, splits, labels), views, of, {}, {}, scales)
        with RowWriter(path) as writer:
            for id_ in ids if done is None else done:
                for view in range(views):
                    draw = np.random.default_rng([*name.encode(), int(id_[0]), view])
                    x = draw.integers(0, 256, shape, np.uint8) if codes else draw.normal(1, 1, shape).astype(np.float16)
                    held[name, id_, view] = x, scales
                    writer.write_view(row_of[id_], view, x)
                box = np.full((views, 5), row_of[id_], np.float32)
                writer.finish(row_of[id_], ImageFacts(width=30, height=20, sha256=sha.ljust(32, b"\0")), box)
            for id_ in failed:
                writer.fail(row_of[id_], ImageFacts(), "no picture")
        return Collection(path)

    def features(name, id_, view):
        x, scales = held[name, id_, view]
        return x.astype(np.float32) * (np.float32(1) if scales is None else scales)

    make.features, make.held = features, held
    return make


def check_reads(joined, wanted):
    """Every row and view, read in a shuffled order, is what `wanted(id, view)` says, to the last bit."""
    pairs = [(row, view) for row in np.flatnonzero(joined.status == DONE) for view in range(joined.views)]
    order = np.random.default_rng(0).permutation(len(pairs))
    rows, views = np.array(pairs)[order].T
    found = joined.read_dequantised(rows, views, check=True)
    for x, row, view in zip(found, rows, views, strict=True):
        np.testing.assert_array_equal(x, wanted(joined.ids[row], view))


def test_rows_are_matched_by_id_whatever_their_order(make):
    joined = JoinedCollection([make("a", (3, 4, 5)), make("b", (3, 4, 7), TURNED)])
    assert joined.ids == IDS
    assert (joined.view_shape, joined.views, joined.dtype, joined.scales) == ((3, 4, 12), 2, np.float16, None)
    check_reads(joined, lambda id_, v: np.concatenate([make.features("a", id_, v), make.features("b", id_, v)], 2))
    assert joined.labels.tolist() == list(SCORE.values())
    for name, some in LISTS.items():
        assert [joined.ids[row] for row in joined.split(name).rows] == list(some)
        assert joined.split(name).scores.tolist() == [SCORE[id_] for id_ in some]
    assert joined.notes == ()


def test_three_collections_stand_in_the_order_that_is_given(make):
    a, b, c = make("a", (2, 2, 1)), make("b", (2, 2, 2), TURNED), make("c", (2, 2, 3), IDS[::-1])
    joined = JoinedCollection([c, a, b])
    check_reads(joined, lambda id_, v: np.concatenate([make.features(name, id_, v) for name in "cab"], 2))
    prints = {JoinedCollection(order).spec.fingerprint for order in ([a, b, c], [c, a, b], [b, a], [a, b])}
    assert len(prints) == 4
    assert JoinedCollection([c, a, b]).spec.fingerprint in prints


def test_codes_stay_codes_and_scales_stand_one_after_the_other(make):
    a, b = make("a", (2, 2, 3), codes=True), make("b", (2, 2, 4), TURNED, codes=True)
    joined = JoinedCollection([a, b])
    assert joined.dtype == np.uint8
    np.testing.assert_array_equal(joined.scales, np.concatenate([a.scales, b.scales]))
    check_reads(joined, lambda id_, v: np.concatenate([make.features("a", id_, v), make.features("b", id_, v)], 2))


def test_codes_beside_floats_are_float32(make):
    joined = JoinedCollection([make("a", (2, 2, 3)), make("b", (2, 2, 4), TURNED, codes=True)])
    assert (joined.dtype, joined.scales) == (np.float32, None)
    check_reads(joined, lambda id_, v: np.concatenate([make.features("a", id_, v), make.features("b", id_, v)], 2))


def by_area(x, grid):
    """The mean over each cell of a coarser grid: by repeating, so that sizes divide."""
    for axis, size in enumerate(grid):
        least = math.lcm(x.shape[axis], size)
        fine = np.repeat(x.astype(np.float64), least // x.shape[axis], axis)
        parts = np.split(fine, size, axis)
        x = np.concatenate([part.mean(axis, keepdims=True) for part in parts], axis)
    return x


def test_finer_grids_are_averaged_by_area(make):
    joined = JoinedCollection([make("a", (5, 3, 2)), make("b", (3, 4, 6), TURNED)])
    assert (joined.view_shape, joined.dtype) == ((3, 3, 8), np.float32)
    assert "grids of 5x3, 3x4: features are averaged to 3x3" in joined.notes
    for view in range(2):
        found = joined.read(np.arange(6), view)
        for x, id_ in zip(found, IDS, strict=True):
            parts = [by_area(make.features(name, id_, view), (3, 3)) for name in "ab"]
            np.testing.assert_allclose(x, np.concatenate(parts, 2), rtol=1e-5, atol=1e-6)
    with_own = JoinedCollection([make("c", (3, 3, 2)), make("d", (3, 3, 6))]).spec
    assert "pooled" in joined.spec.as_dict()
    assert "pooled" not in with_own.as_dict()


@given(st.integers(1, 40), st.integers(1, 40))
def test_shares_of_a_cell_add_up_to_one_and_every_location_counts_alike(one, other):
    fine, coarse = max(one, other), min(one, other)
    shares = area_shares(fine, coarse)
    assert all(sum(cell.values()) == 1 for cell in shares)
    assert {sum(cell.get(j, 0) for cell in shares) * fine for j in range(fine)} == {coarse}


def test_pooling_does_not_depend_on_what_is_pooled_beside_it():
    x = np.random.default_rng(0).normal(size=(5, 16, 16, 3)).astype(np.float32)
    whole = pooled_to(x, (14, 7))
    assert all(np.array_equal(pooled_to(x[i : i + 1], (14, 7))[0], whole[i]) for i in range(5))
    assert pooled_to(x, (16, 16)) is x


def test_a_row_is_done_where_all_have_it(make):
    a = make("a", (2, 2, 3), done=IDS[:5], failed=IDS[5:])
    b = make("b", (2, 2, 4), TURNED[:5], done=TURNED[:3])
    joined = JoinedCollection([a, b])
    status = {id_: joined.status[row] for row, id_ in enumerate(joined.ids)}
    assert status == {"4.jpg": DONE, "1.jpg": DONE, "5.jpg": FAILED, "0.jpg": PENDING, "3.jpg": PENDING,
                      "2.jpg": PENDING}  # fmt: skip
    assert joined.error(5) == f"{a.path}: no picture"
    assert joined.notes == (f"{b.path} lacks 1 of 6 images, such as 2.jpg: they count as images without features",)
    with pytest.raises(MissingRowsError, match=r"2\.jpg"):
        joined.read([2])
    check_reads(joined, lambda id_, v: np.concatenate([make.features("a", id_, v), make.features("b", id_, v)], 2))


def test_images_that_another_one_adds_come_last_with_their_scores_and_lists(make):
    a, b = make("a", (2, 2, 3), IDS[:5]), make("b", (2, 2, 4), TURNED)
    joined = JoinedCollection([a, b])
    assert joined.ids == IDS
    assert joined.labels[5] == SCORE["5.jpg"]
    assert [joined.ids[row] for row in joined.split("test_1").rows] == ["4.jpg", "5.jpg"]
    assert joined.status[5] == PENDING
    assert joined.image_path(5, "/p").as_posix() == "/p/5.jpg"


def test_rows_that_are_filled_meanwhile_are_seen_after_refresh(make):
    a, b = make("a", (2, 2, 3), IDS), make("b", (2, 2, 4), TURNED, done=TURNED[1:])
    joined = JoinedCollection([a, b])
    assert joined.status[4] == PENDING
    with RowWriter(b.path) as writer:
        for view in range(2):
            writer.write_view(0, view, np.ones((2, 2, 4), np.float16))
        writer.finish(0, ImageFacts(), np.zeros((2, 5), np.float32))
    joined.refresh()
    np.testing.assert_array_equal(joined.read([4])[0, ..., 3:], np.ones((2, 2, 4), np.float16))


OTHER_SCORE = SCORE | {"3.jpg": 0.9}
OTHER_LIST = LISTS | {"train_1": IDS[:3], "val_1": IDS[3:4]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": OTHER_SCORE}, r"scores of \S*a\.h5, found 1 images with others, such as 3\.jpg: 0\.9 where 0\.4"),
        ({"lists": OTHER_LIST}, r"found another train_1: 1 images stand in one of the two alone, such as 2\.jpg"),
        (
            {"lists": {"train_1": IDS[:2], "test_1": IDS[4:]}},
            r"lists of \S*a\.h5, \S+ \S+ val_1, found test_1, tr",
        ),
        ({"lists": {}}, r"lists of \S*a\.h5, .*, found none"),
    ],
)
def test_other_scores_or_lists_are_refused_in_one_line(make, change, said):
    a, b = make("a", (2, 2, 3)), make("b", (2, 2, 4), TURNED, **change)
    with pytest.raises(CollectionError, match=said) as caught:
        JoinedCollection([a, b])
    assert "amnet-cache relabel" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_collection_without_scores_and_lists_takes_those_of_the_other(make):
    a, b = make("a", (2, 2, 3)), make("b", (2, 2, 4), TURNED, lists={}, score={})
    joined = JoinedCollection([b, a])
    assert joined.notes == (f"{b.path} has neither scores nor lists: those of the others hold",)
    assert dict(zip(joined.ids, joined.labels, strict=True)) == SCORE
    assert [joined.ids[row] for row in joined.split("val_1").rows] == list(LISTS["val_1"])


def test_list_scores_that_differ_are_refused(make):
    a, b = make("a", (2, 2, 3)), make("b", (2, 2, 4), TURNED)
    b.splits = {**b.splits, "test_1": replace(b.splits["test_1"], scores=b.splits["test_1"].scores + 1)}
    with pytest.raises(CollectionError, match=r"another test_1: 2 images have other scores, such as 4\.jpg: 1\.5 wh"):
        JoinedCollection([a, b])


def test_two_of_one_spec_and_images_of_elsewhere_are_refused(make):
    a = make("a", (2, 2, 3))
    with pytest.raises(CollectionError, match=r"found the same spec; amnet-cache link"):
        JoinedCollection([a, Collection(a.path)])
    with pytest.raises(CollectionError, match=r"found none, but other/0\.jpg"):
        JoinedCollection([a, make("b", (2, 2, 4), id_of=lambda id_: f"other/{id_}")])
    with pytest.raises(CollectionError, match="two collections or more"):
        JoinedCollection([a])


def test_a_name_in_another_form_of_unicode_is_the_same_image(make):
    a = make("a", (2, 2, 3), id_of=lambda id_: f"é{id_}")
    b = make("b", (2, 2, 4), TURNED, id_of=lambda id_: f"e\u0301{id_}")
    joined = JoinedCollection([a, b])
    assert joined.ids == a.ids
    check_reads(joined, lambda id_, v: np.concatenate([make.features(name, id_[1:], v) for name in "ab"], 2))


def test_other_plans_and_other_files_are_told(make):
    a = make("a", (2, 2, 3), views=3, plan="standard", sha=b"1")
    b = make("b", (2, 2, 4), plan="squash", sha=b"2")
    joined = JoinedCollection([a, b])
    assert joined.views == 2
    files, views = joined.notes
    assert files.startswith(f"6 of 6 images are other files in {b.path} than in {a.path}, such as 0.jpg")
    assert "otherwise (plans standard and squash; views: expected 3, found 2): view v" in views
    assert views.endswith("view v of the one stands beside view v of the other, v in 0..1")
    check_reads(joined, lambda id_, v: np.concatenate([make.features("a", id_, v), make.features("b", id_, v)], 2))


def test_damage_of_either_is_found(make):
    a, b = make("a", (2, 2, 3)), make("b", (2, 2, 4), TURNED)
    joined = JoinedCollection([a, b])
    with open(b.path, "r+b") as file:
        file.seek(b.parts[0].planes.features.offset)
        file.write(b"\x17")
    with pytest.raises(CollectionError, match=rf"{b.path}: row 0 \(4\.jpg\) view 0: expected checksum"):
        joined.read([4], check=True)


def test_it_pickles_and_is_read_ahead_and_folded_like_any_other(make):
    a, b = make("a", (2, 2, 3), lists={}), make("b", (2, 2, 4), TURNED, lists={})
    joined = JoinedCollection([a, b])
    again = pickle.loads(pickle.dumps(joined))
    np.testing.assert_array_equal(again.read(np.arange(6), 1), joined.read(np.arange(6), 1))
    assert (again.uuid, again.spec.fingerprint, again.image_list) == (
        joined.uuid,
        joined.spec.fingerprint,
        a.image_list,
    )
    assert joined.checksums.shape == (6, 4)
    dealt, alone = folded(joined, Folding(2, 1, 0)), folded(a, Folding(2, 1, 0))
    assert all(np.array_equal(dealt.split(name).rows, alone.split(name).rows) for name in alone.splits)
    assert (joined.files, joined.stem) == ((a.path, b.path), "a+b")
