"""The one loop, with a trunk that costs nothing: rows never shift, and nothing depends on batches or threads."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import RowWriter
from amnet_common.errors import CollectionError
from extract.crops import Box, ViewPlan, cut, cut_views, plan_views
from extract.frozen_trunk import UnderWay
from extract.pipeline import AHEAD, NOT_FINITE, Cut, Cutter, Filling, ahead, extract_rows, in_batches

PLAN = ViewPlan(augs=2)


@pytest.fixture
def fill(tmp_path, spec):
    """fill(dataset, trunk, rows=.., batch_size=.., workers=.., name=..) -> (collection, reports)."""

    def run(dataset, trunk, rows=None, batch_size=4, workers=2, name="t.h5"):
        path = tmp_path / name
        if not path.exists():
            create_skeleton(path, dataset, PLAN.views, spec, {}, {})
        rows = range(len(dataset.ids)) if rows is None else rows
        reports = list(extract_rows(Filling(path, rows), Cutter(dataset, PLAN, 0), trunk, batch_size, workers))
        return Collection(path), reports

    return run


def expected(dataset, row: int, trunk) -> np.ndarray:
    """The views of one image, computed alone."""
    with Image.open(dataset.image_root / dataset.ids[row]) as image:
        boxes = plan_views(PLAN, 0, dataset.ids[row], image.height, image.width)
        return trunk(cut_views(image.convert("RGB"), boxes, 224)).features


@pytest.mark.parametrize("broken", [(), (0,), (2, 3), (5,), (0, 1, 2, 4, 5)])
def test_rows_never_shift_when_images_fail(pictures, fill, trunk, broken):
    dataset = pictures(6, broken)
    collection, reports = fill(dataset, trunk)
    assert {report.row for report in reports if report.error} == set(broken)
    assert sorted(report.row for report in reports) == list(range(6))
    for row in set(range(6)) - set(broken):
        np.testing.assert_array_equal(collection.read([row] * 3, range(3), check=True), expected(dataset, row, trunk))


def test_failed_rows_keep_their_reason_and_facts(pictures, fill, trunk):
    collection, reports = fill(pictures(3, broken=(1,)), trunk)
    assert collection.error(1) == "not an image that Pillow can identify"
    assert [report.error for report in reports if report.row == 1] == [collection.error(1)]
    assert (collection.images["size"][1], collection.images["width"][1]) == (len(b"no picture"), 0)


def test_boxes_and_sizes_lead_back_to_the_source(pictures, fill, trunk):
    dataset = pictures(2)
    collection, _ = fill(dataset, trunk)
    with Image.open(dataset.image_root / dataset.ids[1]) as image:
        assert (collection.images["width"][1], collection.images["height"][1]) == image.size
        top, left, height, width, flip = collection.boxes[1, 2].tolist()
        view = cut(image.convert("RGB"), Box(top, left, height, width, bool(flip)), 224)
    np.testing.assert_array_equal(trunk(view[None]).features, collection.read(1, 2))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 4), (7, 2), (100, 3)])
def test_results_do_not_depend_on_batch_size_or_workers(pictures, fill, trunk, batch_size, workers):
    dataset = pictures(5, broken=(1,))
    wanted, _ = fill(dataset, trunk, name="wanted.h5")
    found, _ = fill(dataset, trunk, batch_size=batch_size, workers=workers, name="found.h5")
    rows = [0, 2, 3, 4]
    assert all(np.array_equal(found.read(rows, view), wanted.read(rows, view)) for view in range(3))
    np.testing.assert_array_equal(found.images, wanted.images)
    np.testing.assert_array_equal(found.boxes, wanted.boxes)


class Arriving:
    """The event of a copy that is whole only once somebody has waited for it."""

    def __init__(self, parts, whole):
        self.parts, self.whole = parts, whole

    def synchronize(self):
        for part, values in zip(self.parts, self.whole, strict=True):
            part[: len(values)] = torch.from_numpy(values)


def test_batches_under_way_are_waited_for_and_their_padding_is_left_out(pictures, fill, trunk):
    dataset = pictures(5)
    wanted, _ = fill(dataset, trunk, name="wanted.h5")

    def on_a_device(pixels):
        whole = trunk(pixels)
        parts = tuple(torch.zeros((4, *part.shape[1:]), dtype=torch.from_numpy(part).dtype) for part in whole)
        return UnderWay(parts, Arriving(parts, whole), len(pixels))

    found, _ = fill(dataset, on_a_device, batch_size=4, name="found.h5")
    assert all(np.array_equal(found.read(range(5), [view] * 5), wanted.read(range(5), [view] * 5)) for view in range(3))
    np.testing.assert_array_equal(found.images, wanted.images)


def test_part_and_rest_give_the_bytes_of_one_run(pictures, fill, trunk):
    dataset = pictures(5, broken=(3,))
    whole, _ = fill(dataset, trunk, name="whole.h5")
    fill(dataset, trunk, rows=[0, 1], name="parts.h5")
    parts, _ = fill(dataset, trunk, rows=[2, 3, 4], name="parts.h5")
    for name in ("features", "images", "views", "checksums"):
        a, b = (stored_bytes(collection, name) for collection in (whole, parts))
        assert a == b


def stored_bytes(collection: Collection, name: str) -> bytes:
    """What stands in the file of a changing table."""
    part = collection.parts[0]
    extent = part.structure.images if name == "images" else getattr(part.planes, name)
    return collection.path.read_bytes()[extent.offset : extent.end]


def test_row_with_a_view_that_is_not_finite_is_marked_failed(pictures, fill, trunk):
    dataset = pictures(4)
    poisoned = expected(dataset, 2, trunk)[1]

    def overflowing(pixels):
        encoded = trunk(pixels)
        return encoded._replace(finite=np.array([not np.array_equal(view, poisoned) for view in encoded.features]))

    collection, reports = fill(dataset, overflowing)
    assert [(report.row, report.error) for report in reports if report.error] == [(2, NOT_FINITE)]
    assert collection.status.tolist() == [1, 1, 2, 1]


def test_clipped_values_of_all_views_of_an_image_are_summed(pictures, fill, trunk):
    views = iter(range(100))

    def counting(pixels):
        return trunk(pixels)._replace(clipped=np.array([10 ** (next(views) // 3) for _ in pixels]))

    collection, _ = fill(pictures(4, broken=(1,)), counting)
    assert collection.images["clipped"].tolist() == [3, 0, 30, 300]


def test_trunk_always_gets_full_batches_but_for_the_last(pictures, fill, trunk):
    fill(pictures(6, broken=(2, 3)), trunk, batch_size=5)
    assert trunk.batches == [5, 5, 2]


def test_trunk_does_not_run_when_no_image_can_be_read(pictures, fill):
    collection, reports = fill(pictures(3, broken=(0, 1, 2)), trunk=None)
    assert len(reports) == 3
    assert collection.status.tolist() == [2, 2, 2]


def test_failed_images_do_not_gather_while_a_batch_fills():
    taken = []
    endless = (taken.append(row) or Cut(row, facts=None, error="missing file") for row in range(10**9))
    batches = in_batches(endless, batch_size=256)
    owners, pixels = next(batches)
    assert ([(cut.row, view) for cut, view in owners], len(pixels), taken) == ([(0, -1)], 0, [0])


def test_no_more_than_a_bounded_number_of_images_is_decoded_ahead(pictures, fill, trunk):
    dataset, calls, lead = pictures(30), [], []
    lock = threading.Lock()

    class CountingCutter(Cutter):
        def __call__(self, row):
            with lock:
                calls.append(row)
            return super().__call__(row)

    def slow_trunk(pixels):
        time.sleep(0.005)
        lead.append(len(calls))
        return trunk(pixels)

    fill(dataset, trunk, rows=[], name="t.h5")
    path = dataset.image_root.parent / "t.h5"
    list(extract_rows(Filling(path, range(30)), CountingCutter(dataset, PLAN, 0), slow_trunk, 3, 2))
    assert all(decoded <= batch + 1 + 2 + AHEAD for batch, decoded in enumerate(lead))  # one image a batch
    assert sorted(calls) == list(range(30))


@pytest.mark.parametrize("most", [1, 3, 50])
def test_work_ahead_is_bounded_and_in_order(most):
    taken = []
    with ThreadPoolExecutor(4) as pool:
        for done, result in enumerate(ahead(pool, lambda i: i * i, (taken.append(i) or i for i in range(20)), most)):
            assert result == done * done
            assert len(taken) <= done + most
    assert taken == list(range(20))


def test_abandoned_loop_keeps_finished_rows_and_the_rest_pending(pictures, tmp_path, spec, trunk):
    dataset, path = pictures(12), tmp_path / "t.h5"
    create_skeleton(path, dataset, PLAN.views, spec, {}, {})
    reports = extract_rows(Filling(path, range(12)), Cutter(dataset, PLAN, 0), trunk, 3, 1)
    seen = {next(reports).row for _ in range(3)}
    reports.close()
    collection = Collection(path)
    assert all(collection.status[row] == 1 for row in seen)
    assert (collection.status == 0).any()
    for row in np.flatnonzero(collection.status):
        np.testing.assert_array_equal(collection.read([row] * 3, range(3), check=True), expected(dataset, row, trunk))


def test_rows_of_an_empty_row_range_lock_nothing(pictures, fill, trunk, tmp_path):
    dataset = pictures(2)
    fill(dataset, trunk, rows=[])
    with RowWriter(tmp_path / "t.h5"):
        filling = Filling(tmp_path / "t.h5", [], range(2, 2))
        assert list(extract_rows(filling, Cutter(dataset, PLAN, 0), trunk, 4, 1)) == []


def test_rows_that_another_process_has_finished_meanwhile_are_left_out(pictures, fill, trunk):
    dataset = pictures(3)
    fill(dataset, trunk, rows=[1])
    trunk.batches.clear()
    _, reports = fill(dataset, trunk)
    assert ([report.row for report in reports], sum(trunk.batches)) == ([0, 2], 6)


def test_collection_that_took_the_place_of_the_one_looked_at_is_left_alone(pictures, fill, trunk):
    dataset = pictures(2)
    collection, _ = fill(dataset, trunk, rows=[0])
    before, other = collection.path.read_bytes(), "0" * 32
    message = f"--out {collection.path}: expected the collection {other} that this command has looked at, found "
    with pytest.raises(CollectionError, match=re.escape(message + collection.uuid)):
        list(extract_rows(Filling(collection.path, [1], uuid=other), Cutter(dataset, PLAN, 0), trunk, 4, 1))
    assert collection.path.read_bytes() == before


def test_row_that_is_done_again_is_pending_on_the_disk_before_anything_of_it_is_written(pictures, fill, trunk):
    dataset = pictures(4)
    collection, _ = fill(dataset, trunk)
    statuses, order = [], iter(range(4))

    def looking(pixels):
        statuses.append(Collection(collection.path).status.tolist())
        return trunk(pixels)._replace(features=np.full((len(pixels), 14, 14, 1024), next(order), np.float16))

    cutter = Cutter(dataset, PLAN, 0)
    reports = list(extract_rows(Filling(collection.path, [], redo=[1, 2]), cutter, looking, 3, 1))
    assert ([report.row for report in reports], statuses) == ([1, 2], [[1, 0, 0, 1]] * 2)
    found = Collection(collection.path)
    assert (found.status.tolist(), found.read([1, 2], 2, check=True)[:, 0, 0, 0].tolist()) == ([1] * 4, [0, 1])
