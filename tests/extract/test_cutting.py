"""The pixels of a view: one antialiased resize of just its box."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ResNet50_Weights
from torchvision.transforms import v2
from torchvision.transforms.functional import resized_crop

from extract.crops import (
    MOST_PIXELS,
    PLANS,
    Box,
    ViewPlan,
    cut,
    cut_views,
    evaluation_box,
    evaluation_frame,
    of_version,
    on_image,
    plan_views,
    view_plan,
)

NEW = of_version(view_plan("standard", 0))


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


def torchvisions(image: Image.Image) -> np.ndarray:
    return np.asarray(v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image))


def first_view(image: Image.Image, plan: ViewPlan = NEW) -> np.ndarray:
    boxes = plan_views(plan, 0, "a", image.height, image.width)
    return cut_views(image, boxes, 224, frame=evaluation_frame(plan, image.height, image.width))[0]


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from(["RGB", "L", "CMYK"]))
def test_view_0_of_version_2_is_torchvisions_to_the_pixel(width, height, mode):
    assume(max(width, height) <= 200 * min(width, height))
    noise = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    np.testing.assert_array_equal(first_view(image), torchvisions(image))


@pytest.mark.parametrize("size", [(2048, 1365), (1367, 2049), (257, 256), (256, 257), (255, 1021), (1, 1), (3, 2)])
def test_view_0_of_version_2_is_that_of_the_weights_own_transforms(size):
    image = smooth_picture(*size)
    found = torch.from_numpy(np.array(first_view(image))).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close((found - mean) / std, ResNet50_Weights.IMAGENET1K_V1.transforms()(image))


@pytest.mark.parametrize("size", [(9000, 8), (8, 9000), (3000, 3)])
def test_very_long_pictures_are_cut_by_their_box_to_the_same_pixels_or_a_level_beside(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    frame = evaluation_frame(NEW, image.height, image.width)
    assert frame.width * (image.height + frame.height) > MOST_PIXELS
    assert np.abs(first_view(image).astype(int) - torchvisions(image)).max() <= 1


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_box_of_version_2_is_what_its_pixels_show(height, width):
    frame, box = evaluation_frame(NEW, height, width), evaluation_box(NEW, height, width)
    assert (min(frame.height, frame.width), frame.height / frame.width) == (
        256,
        pytest.approx(height / width, rel=0.01),
    )
    np.testing.assert_allclose(np.array(box[:4]) * np.array([frame.height / height, frame.width / width] * 2),
                               [frame.top, frame.left, 224, 224])  # fmt: skip
    bottom, right = np.float32(box.top + box.height), np.float32(box.left + box.width)
    assert (0 <= box.top < bottom <= height, 0 <= box.left < right <= width) == (True, True)
    old = evaluation_box(ViewPlan(), height, width)
    assert np.abs(np.array(box[:2]) - old[:2]).max() * 256 / min(height, width) <= 1.01


def test_a_draft_of_a_huge_jpeg_is_cut_as_the_whole_picture_would_be(tmp_path):
    """As libjpeg gives it, of a quarter of the pixels."""
    smooth_picture(1600, 1200).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as drafted:
        drafted.draft(None, (800, 600))
        drafted.load()
    assert drafted.size == (800, 600)
    frame = evaluation_frame(NEW, 1200, 1600)
    boxes = [on_image(box, drafted, 1200, 1600) for box in plan_views(NEW, 0, "a", 1200, 1600)]
    np.testing.assert_array_equal(cut_views(drafted, boxes, 224, frame=frame)[0], torchvisions(drafted))


def test_augmented_views_of_both_versions_are_the_same():
    image = smooth_picture(333, 221)
    old, new = (
        cut_views(image, plan_views(plan, 5, "a", 221, 333), 224, frame=evaluation_frame(plan, 221, 333))
        for plan in (replace(NEW, augs=3, version=None), replace(NEW, augs=3))
    )
    np.testing.assert_array_equal(old[1:], new[1:])
    assert (old[0] != new[0]).any()
