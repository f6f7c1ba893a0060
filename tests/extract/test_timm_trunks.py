"""timm's networks as trunks, compared with timm's own forward; skipped where timm is not installed."""

import builtins
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from amnet import extract_features
from amnet_common.errors import ConfigError, ExtraError, WeightsError
from extract.compute import Hardware, choose_compute
from extract.crops import of_trunk, of_version, view_plan
from extract.grid_trunk import build_grid_trunk
from extract.makers import described, lines_at_hand
from extract.other_weights import fitted, load_other_weights

timm = pytest.importorskip("timm", reason="timm is not installed; pip install 'amnet[timm]'")


def picture(height=130, width=150, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def own_network(name, **options):
    torch.manual_seed(3)
    return timm.create_model(name, pretrained=False, **options).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "shape", "left_out", "size", "short_side"),
    [
        ("timm:vit_base_patch14_dinov2", (37, 37, 768), 1, 518, 518),
        ("timm:vit_base_patch14_dinov2@224", (16, 16, 768), 1, 224, 224),
        ("timm:vit_small_patch14_reg4_dinov2.lvd142m@224", (16, 16, 384), 5, 224, 224),  # four registers
        ("timm:resnet18", (7, 7, 512), 0, 224, 235),
        ("timm:resnet18/layer3", (14, 14, 256), 0, 224, 235),
        ("timm:vit_tiny_patch16_224/blocks.5", (14, 14, 192), 1, 224, 248),
    ],
)
def test_trunk_is_described_by_the_data_config_of_timm(name, shape, left_out, size, short_side):
    found = described(name)
    assert (found.name, found.view_shape, found.tokens_left_out) == (name, shape, left_out)
    assert (found.size, found.short_side, found.interpolation) == (size, short_side, "bicubic")
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(found.network).to_dict())
    assert (found.mean, found.std) == (config["mean"], config["std"])


def test_dinov2_without_its_class_token_is_that_of_timm():
    trunk = described("timm:vit_base_patch14_dinov2@224")
    net, image = own_network("vit_base_patch14_dinov2", img_size=224, num_classes=0), picture(224, 224)
    config = timm.data.resolve_model_data_config(net) | {"input_size": (3, 224, 224)}
    wanted = net.forward_features(timm.data.create_transform(**config)(image)[None])[:, 1:].reshape(1, 16, 16, 768)
    state, _ = fitted(trunk, net.state_dict(), "w.pth")
    with torch.inference_mode():
        found = build_grid_trunk(trunk, state)(torch.from_numpy(np.array(image))[None])
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-4)


def test_images_are_cut_and_computed_as_timm_does(tmp_path):
    net, image = own_network("vit_tiny_patch16_224"), picture()
    torch.save({"model": net.state_dict()}, tmp_path / "w.pth")
    found = extract_features([image], str(tmp_path / "w.pth"), trunk="timm:vit_tiny_patch16_224")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    wanted = net.forward_features(transform(image)[None])[:, 1:].reshape(1, 1, 14, 14, 192)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4)  # rounded to float16


def test_layer_of_a_network_is_that_of_timm():
    trunk, net = described("timm:resnet18/layer2@64"), own_network("resnet18")
    state, _ = fitted(trunk, net.state_dict(), "w.pth")
    assert not [name for name in state if name.startswith(("layer3", "fc"))]
    pixels = torch.from_numpy(np.array(picture(64, 64)))[None]
    x = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(trunk.mean).view(3, 1, 1)) / torch.tensor(trunk.std).view(
        3, 1, 1
    )
    wanted = net.layer2(net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(x))))))
    found = build_grid_trunk(trunk, state)(pixels)
    np.testing.assert_allclose(found.numpy(), wanted.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_positions_of_another_size_are_resized_as_timm_does_and_the_hash_is_of_the_file(tmp_path):
    torch.save(own_network("vit_tiny_patch16_224").state_dict(), tmp_path / "w.pth")
    small, usual = (load_other_weights(described(f"timm:vit_tiny_patch16_224{at}"), str(tmp_path / "w.pth"))
                    for at in ("@96", ""))  # fmt: skip
    assert (small.state["pos_embed"].shape, usual.state["pos_embed"].shape) == ((1, 37, 192), (1, 197, 192))
    assert small.sha256 == usual.sha256
    wanted = timm.layers.resample_abs_pos_embed(usual.state["pos_embed"], [6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(small.state["pos_embed"], wanted, rtol=0, atol=1e-6)


def test_views_are_cut_for_the_trunk():
    plan = of_trunk(of_version(view_plan("standard", 0)), described("timm:vit_tiny_patch16_224"))
    spec = plan.as_spec()
    assert (spec["size"], spec["short_side"], spec["resize"]) == (224, 248, "pillow-bicubic-antialias")
    assert "interpolation" not in spec


def test_version_of_timm_stands_in_the_kernel_path():
    path = choose_compute(Hardware("cpu"), trunk=described("timm:resnet18")).kernel_path()
    assert path["timm"] == timm.__version__


def test_what_cannot_be_had_is_one_line(monkeypatch, tmp_path):
    with pytest.raises(
        ConfigError, match=r"--trunk timm:nonsense: expected a network of timm .*found none of that name"
    ):
        described("timm:nonsense")
    with pytest.raises(ConfigError, match=r"timm:resnet18/nothing: expected a layer with a grid .*such are .*layer4"):
        described("timm:resnet18/nothing")
    torch.save(own_network("vit_tiny_patch16_224").state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"\d+ of 50 tensors of timm's resnet18 up to layer2 are missing"):
        load_other_weights(described("timm:resnet18/layer2"), str(tmp_path / "w.pth"))

    def fail(*_, **__):
        raise OSError("no network\nand more")

    trunk = described("timm:vit_tiny_patch16_224")
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(WeightsError, match=r"--weights pretrained: expected timm's weights of .*\(no network\)"):
        load_other_weights(trunk, "pretrained")


def test_without_timm_the_extra_is_named(monkeypatch):
    imported = builtins.__import__

    def without(name, *words):
        if name == "timm":
            raise ImportError(name)
        return imported(name, *words)

    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtraError, match=r"expected timm, found it not installed; pip install 'amnet\[timm\]'"):
        described("timm:resnet18")
    assert "timm:NETWORK  with pip install 'amnet[timm]'" in list(lines_at_hand())
