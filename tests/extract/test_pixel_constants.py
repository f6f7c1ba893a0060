"""Mean and deviation of the pixels: exact whatever the trunk is turned to, no part of its weights, copied once."""

import copy

import numpy as np
import pytest
import torch
from pretended_gpu import PretendedGpu

from extract.grid_trunk import build_grid_trunk
from extract.makers import described
from extract.other_weights import load_other_weights
from extract.pixel_constants import PixelConstants
from extract.trunk import Trunk, build_trunk, fold_batchnorm, to_bfloat16
from extract.variants import MSRA_2015, TORCHVISION

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
TURNED = {
    "as built": lambda trunk: trunk,
    "float16": lambda trunk: trunk.half(),
    "bfloat16": lambda trunk: trunk.to(torch.bfloat16),
    "mixed": lambda trunk: to_bfloat16(fold_batchnorm(trunk)),
    "copied": copy.deepcopy,
}


@pytest.mark.parametrize("variant", [TORCHVISION, MSRA_2015], ids=lambda variant: variant.name)
@pytest.mark.parametrize("turn", TURNED.values(), ids=TURNED.keys())
def test_pixels_are_normalised_in_float32_whatever_the_trunk_is_turned_to(variant, turn):
    trunk = turn(Trunk(variant))
    mean, std = (np.array(values, np.float32) * np.float32(255) for values in (variant.mean, variant.std))
    pixels = PIXELS[..., ::-1] if variant.bgr else PIXELS
    wanted = torch.from_numpy(((pixels.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2).copy())
    found = trunk.normalise(torch.from_numpy(PIXELS))
    assert torch.equal(found, wanted.to(trunk.conv1.weight.dtype))


def test_the_constants_are_no_weights():
    trunk = Trunk(TORCHVISION)
    assert not [name for name in trunk.state_dict() if name.startswith("pixels")]
    assert not [*trunk.pixels.parameters()]


@pytest.fixture(scope="module")
def grid_trunk():
    about = described("resnet18-layer3@64")
    return build_grid_trunk(about, load_other_weights(about, "untrained", 0).state)


def test_constants_of_another_trunk_are_exact_too(grid_trunk):
    trunk, found = grid_trunk.trunk, grid_trunk.normalise(torch.from_numpy(PIXELS[:, :64, :64]))
    mean, std = (np.array(values, np.float32) for values in (trunk.mean, trunk.std))
    wanted = (PIXELS[:, :64, :64].astype(np.float32) / np.float32(255) - mean) / std
    assert np.array_equal(found.numpy(), wanted.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("usual", [True, False])
def test_a_batch_on_a_gpu_waits_for_no_constants(usual, grid_trunk):
    trunk = build_trunk(TORCHVISION, Trunk(TORCHVISION).state_dict()) if usual else copy.deepcopy(grid_trunk)
    with PretendedGpu() as gpu:
        trunk = trunk.to("cuda:0")
        pixels = torch.from_numpy(PIXELS[:, :64, :64]).to("cuda:0")
        before = gpu.waits.total()
        assert str(trunk.normalise(pixels).device) == "cuda:0"
        assert gpu.waits.total() == before


def test_constants_follow_the_trunk_to_its_device():
    with PretendedGpu("cuda:1") as gpu:
        constants = PixelConstants((0.5, 0.25, 0.1), (1, 2, 3)).to("cuda:1", torch.float16)
        assert {str(tensor.device) for tensor in constants.buffers()} == {"cuda:1"}
        assert {tensor.dtype for tensor in constants.buffers()} == {torch.float32}
    assert {card for card, _ in gpu.opened} == {"cuda:1"}
