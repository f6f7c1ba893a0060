"""Which part of an image each view shows: pure functions of seed, id and view."""

import math
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop

from amnet_common.collection.spec import canonical_json
from amnet_common.errors import ConfigError
from extract.crops import (
    PLANS,
    Box,
    ViewPlan,
    augmented_box,
    evaluation_box,
    of_version,
    plan_views,
    version_of,
    view_plan,
)

SIZES = st.integers(1, 5000)
IDS = st.text(max_size=8)
RESIZE = '"resize":"pillow-bilinear-antialias"'


def test_boxes_never_change():
    assert plan_views(ViewPlan(2), 0, "a.jpg", 480, 640) == [
        Box(30.0, 110.0, 420.0, 420.0, False),
        Box(103, 248, 344, 273, False),
        Box(204, 299, 162, 214, True),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "standard",
            '{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333],"augs":10,"flip":0.5,"name":"standard",'
            f'{RESIZE},"short_side":256,"size":224}}',
        ),
        (
            "squash",
            '{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333],"augs":10,"flip":0.5,"name":"squash",'
            f'{RESIZE},"size":224}}',
        ),
        (
            "squash264",
            '{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333],"augs":10,"flip":0.5,"frame":264,'
            f'"name":"squash264",{RESIZE},"size":224}}',
        ),
        (
            "full",
            '{"area":[0.36,1.0],"aspect":[1.0,1.0],"augs":10,"flip":0.5,"frame":256,'
            f'"name":"full",{RESIZE},"size":224}}',
        ),
    ],
)
def test_spec_of_a_plan_never_changes(name, text):
    """It stands in files, and their fingerprints hang on it."""
    assert canonical_json(view_plan(name, 10).as_spec()) == text


def test_spec_of_the_second_version_never_changes_either():
    text = ('{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333],"augs":10,"flip":0.5,"name":"standard",'
            f'{RESIZE},"short_side":256,"size":224,"version":2}}')  # fmt: skip
    assert canonical_json(of_version(view_plan("standard", 10)).as_spec()) == text
    assert of_version(view_plan("standard", 10), 1) == view_plan("standard", 10)


def test_only_versions_that_there_are_can_be_had():
    assert of_version(view_plan("squash", 1)) == of_version(view_plan("squash", 1), 1) == view_plan("squash", 1)
    with pytest.raises(ConfigError, match="--plan-version: expected 1 or 2 for --plan standard, found 3"):
        of_version(ViewPlan(), 3)
    with pytest.raises(ConfigError, match="--plan-version: expected 1 for --plan squash264, found 2"):
        of_version(view_plan("squash264", 1), 2)
    assert [version_of(spec) for spec in ({}, {"name": "standard", "version": 2}, {"name": "squash", "version": 2},
                                          {"version": 2.0}, {"version": True})] == [1, 2, None, None, None]  # fmt: skip


def test_plan_without_a_name_is_the_standard_one():
    assert ViewPlan(3) == view_plan("standard", 3)
    assert [*PLANS] == ["standard", "squash", "squash264", "full"]
    with pytest.raises(ConfigError, match="--plan: expected standard, squash, squash264, full, found 'whole'"):
        view_plan("whole", 3)


@given(SIZES, SIZES, IDS, st.sampled_from([*PLANS]))
def test_boxes_lie_inside_images_of_any_size(height, width, id_, plan):
    for box in plan_views(view_plan(plan, 6), 0, id_, height, width):
        bottom, right = np.float32(box.top + box.height), np.float32(box.left + box.width)  # as Pillow takes them
        assert 0 <= box.top <= bottom <= height
        assert 0 <= box.left <= right <= width
        assert box.height > 0
        assert box.width > 0


@given(st.integers(50, 5000), st.integers(50, 5000), IDS)
def test_augmented_boxes_keep_to_their_bounds_of_area_and_aspect(height, width, id_):
    for box in plan_views(ViewPlan(4), 0, id_, height, width)[1:]:
        slack = 1 / min(box.height, box.width)  # boxes are whole pixels
        fell_back = (box.height, box.width) == _largest_box(height, width)
        assert fell_back or 0.08 * (1 - 2 * slack) <= box.height * box.width / (height * width) <= 1
        assert 3 / 4 * (1 - slack) <= box.width / box.height <= 4 / 3 * (1 + slack)


def _largest_box(height: int, width: int) -> tuple[int, int]:
    return min(height, round(width * 4 / 3)), min(width, round(height * 4 / 3))


@pytest.mark.parametrize(
    ("height", "width", "box"), [(256, 256, (16, 16, 224)), (512, 300, (512 / 2 - 131.25, 18.75, 262.5))]
)
def test_evaluation_box_is_the_centred_seven_eighths_of_the_short_side(height, width, box):
    top, left, side = box
    assert evaluation_box(ViewPlan(), height, width) == Box(top, left, side, side, False)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (600, 100), (100, 900)])
def test_boxes_are_spread_as_torchvisions(height, width):
    torch.manual_seed(0)
    image, plan = torch.empty(3, height, width), ViewPlan()
    wanted = np.array([RandomResizedCrop.get_params(image, plan.area, plan.aspect) for _ in range(2000)])
    found = np.array([augmented_box(plan, 0, f"{i}.jpg", 1, height, width)[:4] for i in range(2000)], float)
    for measure in (lambda b: b[:, 0], lambda b: b[:, 1], lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2]):
        # wanted is (top, left, height, width) too
        assert ks_2samp(measure(wanted), measure(found)).pvalue > 1e-3


@given(SIZES, SIZES)
def test_squashed_evaluation_box_is_the_whole_image(height, width):
    for name in ("squash", "squash264", "full"):
        assert evaluation_box(view_plan(name, 0), height, width) == Box(0, 0, height, width, False)


def test_squash_draws_the_crops_of_standard():
    boxes = [plan_views(view_plan(name, 5), 3, "a.jpg", 480, 640) for name in ("squash", "standard")]
    assert boxes[0][1:] == boxes[1][1:]


@given(SIZES, SIZES, IDS)
def test_squash264_draws_in_the_squashed_image_and_gives_boxes_of_the_source(height, width, id_):
    plan = view_plan("squash264", 3)
    in_frame = plan_views(ViewPlan(3), 0, id_, 264, 264)[1:]
    for box, drawn in zip(plan_views(plan, 0, id_, height, width)[1:], in_frame, strict=True):
        np.testing.assert_allclose(box[0::2][:2], np.array(drawn[0::2][:2]) * height / 264)  # top, height
        np.testing.assert_allclose(box[1:4:2], np.array(drawn[1:4:2]) * width / 264)  # left, width
        assert box.flip == drawn.flip


def test_squash264_is_spread_as_torchvisions_crops_of_the_squashed_image():
    torch.manual_seed(0)
    squashed, plan, scale = torch.empty(3, 264, 264), view_plan("squash264", 1), np.array([480, 640, 480, 640]) / 264
    wanted = np.array([RandomResizedCrop.get_params(squashed, plan.area, plan.aspect) for _ in range(2000)]) * scale
    found = np.array([augmented_box(plan, 0, f"{i}.jpg", 1, 480, 640)[:4] for i in range(2000)])
    for measure in (lambda b: b[:, 0], lambda b: b[:, 1], lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2]):
        assert ks_2samp(np.round(measure(wanted), 6), np.round(measure(found), 6)).pvalue > 1e-3


@given(SIZES, SIZES, IDS)
def test_crops_of_full_have_the_shape_of_the_image_and_at_least_a_third_of_it(height, width, id_):
    for box in plan_views(view_plan("full", 3), 0, id_, height, width)[1:]:
        assert box.height / height == pytest.approx(box.width / width)
        assert 0.355 < box.height * box.width / (height * width) <= 1


def test_full_never_changes():
    assert plan_views(view_plan("full", 1), 0, "a.jpg", 512, 128)[1] == Box(110.0, 24.5, 368.0, 92.0, False)


def test_squash264_never_changes():
    assert plan_views(view_plan("squash264", 1), 0, "a.jpg", 528, 132)[1] == Box(152.0, 45.5, 328.0, 65.0, False)


def test_half_of_the_augmented_boxes_are_mirrored_and_no_evaluation_box():
    plans = [plan_views(ViewPlan(10), 0, f"{i}.jpg", 480, 640) for i in range(200)]
    assert not any(boxes[0].flip for boxes in plans)
    mirrored = sum(box.flip for boxes in plans for box in boxes[1:])
    assert abs(mirrored - 1000) < 4 * math.sqrt(2000 / 4)  # four standard deviations


def test_boxes_do_not_depend_on_the_order_or_number_of_images_and_views():
    ids = [f"{i}.jpg" for i in range(20)]
    forward = {id_: plan_views(ViewPlan(3), 7, id_, 480, 640) for id_ in ids}
    backward = {id_: plan_views(ViewPlan(9), 7, id_, 480, 640)[:4] for id_ in reversed(ids)}
    assert backward == forward


def test_seeds_ids_and_views_all_give_other_boxes():
    plans = [plan_views(ViewPlan(3), seed, id_, 4800, 6400)[1:] for seed in (0, 1) for id_ in ("a", "b")]
    boxes = list(chain.from_iterable(plans))
    assert len({box[:4] for box in boxes}) == len(boxes) == 12


def test_plan_without_augmentation_has_the_evaluation_view_alone():
    assert ViewPlan(0).views == len(plan_views(ViewPlan(0), 0, "a", 10, 10)) == 1


def test_negative_number_of_augmented_views_is_refused():
    with pytest.raises(ConfigError, match="--augs: expected 0 or more augmented views, found -1"):
        ViewPlan(-1)
