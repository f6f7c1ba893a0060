"""The pixels of a view: one antialiased resize of just its box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import resized_crop

from extract.crops import PLANS, Box, ViewPlan, cut, cut_views, evaluation_box, plan_views, view_plan


def smooth_picture(width: int, height: int) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (256, 256), (300, 1000), (120, 90)])
def test_view_0_is_resize_256_and_centre_crop_224(size):
    image = smooth_picture(*size)
    wanted = np.asarray(v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image), float)
    found = cut(image, evaluation_box(ViewPlan(), image.height, image.width), 224).astype(float)
    # torchvision rounds the resized size and the corner to whole pixels: the same square to less than one of them
    one_pixel = min(np.abs(np.roll(wanted, 1, axis) - wanted).mean() for axis in (0, 1))
    assert np.abs(found - wanted).mean() < one_pixel
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.998


def test_256_pixel_square_is_cut_without_any_resampling():
    image = smooth_picture(256, 256)
    np.testing.assert_array_equal(
        cut(image, evaluation_box(ViewPlan(), 256, 256), 224), np.asarray(image)[16:240, 16:240]
    )


@pytest.mark.parametrize("size", [(640, 480), (300, 1000), (224, 224), (50, 90)])
@pytest.mark.parametrize("name", ["squash", "squash264"])
def test_squashed_view_0_is_pillows_plain_resize(name, size):
    image = smooth_picture(*size)
    wanted = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    found = cut_views(image, plan_views(view_plan(name, 0), 0, "a", image.height, image.width), 224)
    np.testing.assert_array_equal(found, wanted[None])


@pytest.mark.parametrize("size", [(640, 480), (300, 1000), (120, 90)])
def test_squash264_shows_what_two_resizes_as_in_the_release_show(size):
    image = smooth_picture(*size)
    squashed = image.resize((264, 264), Image.Resampling.BILINEAR)
    boxes = plan_views(view_plan("squash264", 5), 0, "a", image.height, image.width)[1:]
    drawn = plan_views(ViewPlan(5), 0, "a", 264, 264)[1:]
    for box, (top, left, height, width, flip) in zip(boxes, drawn, strict=True):
        twice = np.asarray(resized_crop(squashed, top, left, height, width, [224, 224]), float)
        found = cut(image, box, 224).astype(float)
        assert np.corrcoef(found.ravel(), (twice[:, ::-1] if flip else twice).ravel())[0, 1] > 0.998


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 200), st.integers(1, 200))
def test_box_of_whole_pixels_is_cut_as_torchvision_cuts_it(top, left, height, width):
    y, x = np.mgrid[:300, :300] * 0.85
    image = Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=-1).astype(np.uint8))
    wanted = np.asarray(resized_crop(image, top, left, height, width, [224, 224]), float)
    found = cut(image, Box(top, left, height, width, False), 224)
    # cutting first, as torchvision does, loses the neighbours of the border: one step of these ramps
    np.testing.assert_allclose(found, wanted, atol=2)


def test_flip_mirrors_left_and_right():
    image, box = smooth_picture(300, 200), Box(10, 20, 150, 200, False)
    np.testing.assert_array_equal(cut(image, box._replace(flip=True), 224), cut(image, box, 224)[:, ::-1])


def test_large_pictures_are_averaged_and_not_sampled():
    checks = np.indices((2048, 2048)).sum(0) % 2 * 255
    view = cut(Image.fromarray(checks.astype(np.uint8)).convert("RGB"), evaluation_box(ViewPlan(), 2048, 2048), 224)
    assert abs(view.astype(float) - 127.5).max() < 8


@pytest.mark.parametrize("size", [(1, 1), (3000, 3), (3, 3000), (2, 1)])
@pytest.mark.parametrize("name", [*PLANS])
def test_smallest_and_longest_pictures_give_all_views(size, name):
    image = Image.new("RGB", size, (1, 2, 3))
    views = cut_views(image, plan_views(view_plan(name, 10), 0, "a", image.height, image.width), 224)
    assert views.shape == (11, 224, 224, 3)
    assert (views == (1, 2, 3)).all()
