"""The trunk against torchvision's own ResNet50, and the original ResNet50 written out by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
import torchvision
from PIL import Image
from torch import Tensor

from extract.crops import ViewPlan, cut, evaluation_box
from extract.trunk import Trunk, build_trunk, fold_batchnorm, to_bfloat16
from extract.variants import MSRA_2015, TORCHVISION
from extract.weights import load_weights

WORST = ("1423.jpg", "0742.jpg", "0748.jpg", "2581.jpg")  # of 500 photographs of LNSIM
PIXELS = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def close(found: Tensor, wanted: Tensor) -> bool:
    """Equal up to float32 rounding over forty layers."""
    return bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())


def randomise_batchnorm(network: torch.nn.Module) -> torch.nn.Module:
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1), (module.running_var, 0.5, 2)):
                torch.nn.init.uniform_(tensor, low, high)
            for tensor in (module.bias, module.running_mean):
                torch.nn.init.normal_(tensor, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def reference() -> torchvision.models.ResNet:
    torch.manual_seed(1)
    return randomise_batchnorm(torchvision.models.resnet50(weights=None))


@torch.inference_mode()
def torchvision_features(network: torchvision.models.ResNet, pixels: Tensor) -> Tensor:
    """(B, 14, 14, 1024) by torchvision's own modules and transforms."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = pixels.permute(0, 3, 1, 2) / 255
    x = torchvision.transforms.functional.normalize(x, mean, std)
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    return network.layer3(network.layer2(network.layer1(x))).permute(0, 2, 3, 1)


@torch.inference_mode()
def msra_features(state: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """(B, 14, 14, 1024) as He et al. drew it: stride in the first 1x1, 3x3 pooling without padding, sizes up."""

    def conv_norm(x: Tensor, conv: str, norm: str, stride: int = 1, padding: int = 0) -> Tensor:
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=padding)
        mean, var, scale, shift = (state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, scale, shift, eps=1e-5)

    def block(x: Tensor, name: str, stride: int, project: bool) -> Tensor:
        y = F.relu(conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride))
        y = F.relu(conv_norm(y, f"{name}.conv2", f"{name}.bn2", padding=1))
        y = conv_norm(y, f"{name}.conv3", f"{name}.bn3")
        return F.relu(y + (conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride) if project else x))

    x = pixels.permute(0, 3, 1, 2).float() - 255 * torch.tensor(MSRA_2015.mean).view(3, 1, 1)
    x = F.relu(conv_norm(x, "conv1", "bn1", stride=2, padding=3))
    x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
    for layer, blocks in ((1, 3), (2, 4), (3, 6)):
        for i in range(blocks):
            x = block(x, f"layer{layer}.{i}", stride=2 if i == 0 and layer > 1 else 1, project=i == 0)
    return x.permute(0, 2, 3, 1)


@torch.inference_mode()
def run(trunk: Trunk, pixels: Tensor) -> Tensor:
    return trunk(pixels)


def test_trunk_equals_torchvisions_layer3(reference):
    features = run(build_trunk(TORCHVISION, reference.state_dict()), PIXELS)
    assert features.shape == (2, 14, 14, 1024)
    assert close(features, torchvision_features(reference, PIXELS))


@pytest.mark.parametrize("variant", [TORCHVISION, MSRA_2015])
def test_folded_trunk_equals_the_unfolded_one(reference, variant):
    trunk = build_trunk(variant, reference.state_dict())
    wanted = run(trunk, PIXELS)
    folded = fold_batchnorm(trunk)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert close(run(folded, PIXELS), wanted)


def test_msra_variant_equals_the_network_written_out_by_hand(reference):
    state = reference.state_dict()
    assert close(run(build_trunk(MSRA_2015, state), PIXELS), msra_features(state, PIXELS))


def test_published_msra_weights_give_the_features_of_the_network_written_out_by_hand(shared):
    weights, pixels = load_weights(str(shared / "weights" / "resnet50-msra-trunk.safetensors")), photograph(shared)
    found = run(build_trunk(weights.variant, weights.state), pixels)
    assert close(found, msra_features(weights.state, pixels))
    assert 0.3 < (found == 0).float().mean() < 0.55  # 42 % over many photographs


def test_msra_weights_wired_as_torchvisions_give_other_features(shared):
    weights, pixels = load_weights(str(shared / "weights" / "resnet50-msra-trunk.safetensors")), photograph(shared)
    right = run(build_trunk(weights.variant, weights.state), pixels)
    wrong = run(build_trunk(TORCHVISION, weights.state), pixels)
    assert F.cosine_similarity(right.flatten(), wrong.flatten(), dim=0) < 0.9


@pytest.mark.parametrize("variant", [TORCHVISION, MSRA_2015])
def test_first_three_convolutions_stay_exact_in_bfloat16(reference, variant):
    exact = fold_batchnorm(build_trunk(variant, reference.state_dict()))
    half = to_bfloat16(fold_batchnorm(build_trunk(variant, reference.state_dict())))
    kept = {"conv1": "conv1", "layer1.0.conv1": "layer1.0.conv1", "layer1.0.conv2": "layer1.0.conv2.layers"}
    for name, found in kept.items():
        assert torch.equal(half.get_submodule(found).weight, exact.get_submodule(name).weight)
    others = [p for n, p in half.named_parameters() if n.rpartition(".")[0] not in kept.values()]
    assert {p.dtype for p in others} == {torch.bfloat16}
    assert run(half, PIXELS).dtype == torch.bfloat16


def test_bfloat16_features_of_photographs_point_where_those_of_float32_do(shared):
    """All in bfloat16, the features of these have a cosine of 0.9985 to 0.9990."""
    weights = load_weights(str(shared / "weights" / "resnet50-msra-trunk.safetensors"))
    exact = build_trunk(weights.variant, weights.state)
    half = to_bfloat16(fold_batchnorm(build_trunk(weights.variant, weights.state)))
    for name in WORST:
        pixels = photograph(shared, name)
        found, wanted = run(half, pixels).float(), run(exact, pixels)
        assert F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.999


def photograph(shared, name: str = "0001.jpg") -> Tensor:
    with Image.open(shared / "data" / "lnsim" / "images" / name) as image:
        view = cut(image.convert("RGB"), evaluation_box(ViewPlan(), image.height, image.width), 224)
    return torch.from_numpy(np.array(view))[None]


def test_unwanted_parts_are_not_built(reference):
    trunk = Trunk(TORCHVISION)
    wanted = {name for name in reference.state_dict() if not name.startswith(("layer4.", "fc."))}
    assert set(trunk.state_dict()) == wanted


def test_trunk_is_frozen_and_in_evaluation_mode():
    trunk = Trunk(TORCHVISION)
    assert not any(module.training for module in trunk.modules())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
