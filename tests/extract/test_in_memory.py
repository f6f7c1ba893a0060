"""Images in memory: the same views as `amnet-extract` cuts, and one line for what cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError, ImageError
from extract.frozen_trunk import Encoded
from extract.in_memory import extract_features


def picture(width, height):
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture(autouse=True)
def patch(trunk, monkeypatch):
    """The class of a trunk that costs nothing, in place of the network."""
    monkeypatch.setattr("extract.in_memory.FrozenTrunk", type(trunk))
    monkeypatch.setattr("extract.in_memory.load_weights", lambda *_: None)
    return type(trunk)


@pytest.mark.parametrize("plan", ["standard", "squash264"])
def test_files_pillow_images_and_arrays_have_the_features_of_the_collection(pictures, extract, plan):
    dataset = pictures(5)
    assert extract(dataset, "--augs", "2", "--plan", plan, "--seed", "7", "--precision", "float32").status == 0
    wanted = np.stack([Collection("t.h5").read_dequantised(range(5), view) for view in range(3)], axis=1)
    paths = [dataset.image_root / id_ for id_ in dataset.ids]
    same = {"augs": 2, "plan": plan, "weights": "untrained", "seed": 7}
    np.testing.assert_array_equal(extract_features(paths, **same), wanted)
    opened = [Image.open(path) for path in paths]
    np.testing.assert_array_equal(extract_features(opened, ids=dataset.ids, **same), wanted)
    arrays = [np.asarray(image) for image in opened]
    np.testing.assert_array_equal(extract_features(arrays, ids=dataset.ids, **same), wanted)


def test_an_image_without_a_name_has_its_place_as_id():
    images = [picture(60, 50), np.asarray(picture(70, 40))[:, ::-1]]
    found = extract_features(images, augs=1, weights="untrained")
    assert found.shape == (2, 2, 14, 14, 1024)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, extract_features(images, augs=1, weights="untrained", ids=["0", "1"]))
    others = extract_features(images, augs=1, weights="untrained", ids=["1", "0"])
    assert np.array_equal(found[:, 0], others[:, 0])
    assert not np.array_equal(found[:, 1], others[:, 1])


def test_no_images_have_no_features():
    assert extract_features([], augs=2).shape == (0, 3, 14, 14, 1024)


@pytest.mark.parametrize(("image", "message"), [
    ("no.jpg", r"images\[1\] \(no.jpg\): missing file"),
    (np.zeros((9, 9)), r"images\[1\]: expected an array \(H, W, 3\) of uint8, found \(9, 9\) of float64"),
    (np.zeros((9, 9, 4), np.uint8), r"images\[1\]: expected an array \(H, W, 3\) of uint8, found \(9, 9, 4\) of uint8"),
    (torch.zeros(3, 9, 9), r"images\[1\]: expected a path, a Pillow image or an array, found a Tensor"),
])  # fmt: skip
def test_an_image_that_cannot_be_used_is_named(image, message):
    with pytest.raises(ImageError, match=message):
        extract_features([picture(60, 50), image], weights="untrained")


@pytest.mark.parametrize("image", ["a.jpg", picture(20, 20), np.zeros((9, 9, 3), np.uint8)], ids=type)
def test_an_image_alone_is_not_taken_for_a_list(image):
    with pytest.raises(ConfigError, match="images: expected a list of images, found one; put it in a list"):
        extract_features(image, weights="untrained")


def test_ids_of_other_number_are_refused():
    with pytest.raises(ConfigError, match="ids: expected one for each of 1 images, found 2"):
        extract_features([picture(60, 50)], weights="untrained", ids=["a", "b"])


def test_features_that_are_not_finite_are_no_features(patch, monkeypatch):
    def overflown(self, pixels):
        found = patch.__call__(self, pixels)
        return Encoded(found.features, found.clipped, np.arange(len(pixels)) != 3)

    monkeypatch.setattr("extract.in_memory.FrozenTrunk", type("Overflown", (patch,), {"__call__": overflown}))
    with pytest.raises(ImageError, match=r"images\[1\]: expected finite features, found others in view 1"):
        extract_features([picture(60, 50)] * 3, augs=1, weights="untrained")


def test_the_callers_own_switches_of_torch_are_left_as_they_were(patch, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)

    def switching(*_):
        torch.backends.cudnn.allow_tf32 = False
        return patch()

    monkeypatch.setattr("extract.in_memory.FrozenTrunk", switching)
    extract_features([picture(60, 50)], weights="untrained")
    assert torch.backends.cudnn.allow_tf32
