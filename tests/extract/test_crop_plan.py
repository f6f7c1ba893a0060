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

from amnet_common.errors import ConfigError
from extract.crops import Box, ViewPlan, augmented_box, evaluation_box, plan_views

SIZES = st.integers(1, 5000)
IDS = st.text(max_size=8)


def test_boxes_never_change():
    assert plan_views(ViewPlan(2), 0, "a.jpg", 480, 640) == [
        Box(30.0, 110.0, 420.0, 420.0, False),
        Box(103, 248, 344, 273, False),
        Box(204, 299, 162, 214, True),
    ]


@given(SIZES, SIZES, IDS)
def test_boxes_lie_inside_images_of_any_size(height, width, id_):
    for box in plan_views(ViewPlan(6), 0, id_, height, width):
        assert 0 <= box.top <= box.top + box.height <= height
        assert 0 <= box.left <= box.left + box.width <= width
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
    with pytest.raises(ConfigError, match="--augs: wanted 0 or more augmented views, found -1"):
        ViewPlan(-1)
