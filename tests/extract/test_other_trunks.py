"""Trunks by name: what torchvision's networks compute by their own forward, without our tracing, is the reference."""

import re
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn
from torchvision import models

from amnet import extract_features
from amnet_common.collection import Collection
from amnet_common.errors import ConfigError, WeightsError
from extract import fidelity, makers
from extract.cli import main
from extract.compute import Hardware, choose_compute
from extract.grid_trunk import build_grid_trunk, wanted_state
from extract.makers import described
from extract.other_weights import fitted, load_other_weights
from extract.trunk_description import USUAL_TRUNK

TORCHVISION = {
    "resnet18-layer3": ("torchvision:resnet18/layer3", (14, 14, 256), 0),
    "torchvision:resnet101/layer3": ("torchvision:resnet101/layer3", (14, 14, 1024), 0),
    "vgg16-features": ("torchvision:vgg16/features.29", (14, 14, 512), 0),
    "vit_b_16": ("torchvision:vit_b_16/encoder", (14, 14, 768), 1),
}


def up_to_layer3(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer3(net.layer2(net.layer1(x))).permute(0, 2, 3, 1)


def vgg(net, x):
    return net.features[:30](x).permute(0, 2, 3, 1)  # conv5_3 and its ReLU, without the last pooling


def vit(net, x):
    tokens = net._process_input(x)
    return net.encoder(torch.cat([net.class_token.expand(len(x), -1, -1), tokens], 1))[:, 1:].reshape(-1, 14, 14, 768)


FORWARD = {
    "resnet18-layer3": up_to_layer3,
    "torchvision:resnet101/layer3": up_to_layer3,
    "vgg16-features": vgg,
    "vit_b_16": vit,
}


def picture(height=260, width=300, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def own_network(name, seed=3):
    """A network of torchvision, calmed so that random weights keep to numbers near 1."""
    torch.manual_seed(seed)
    net = models.get_model(name, weights=None).eval().requires_grad_(False)
    for module in net.modules():
        last = getattr(module, "bn3", getattr(module, "bn2", None))
        if isinstance(last, nn.BatchNorm2d):
            last.weight.fill_(0.3)
    return net


@pytest.mark.parametrize("name", TORCHVISION)
def test_trunk_is_described_and_its_own_name_leads_to_it_again(name):
    full, shape, left_out = TORCHVISION[name]
    found = described(name)
    assert (found.name, found.view_shape, found.tokens_left_out) == (full, shape, left_out)
    assert (found.size, found.short_side, found.interpolation) == (224, 256, "bilinear")
    assert described(full) == found


@pytest.mark.parametrize("name", FORWARD)
def test_features_are_those_of_torchvisions_own_forward(name):
    trunk = described(name)
    net, image = own_network(trunk.network), picture(224, 224)
    state, _ = fitted(trunk, net.state_dict(), "w.pth")
    wanted = FORWARD[name](
        net, models.get_model_weights(trunk.network).IMAGENET1K_V1.transforms(resize_size=224)(image)[None]
    )
    with torch.inference_mode():
        found = build_grid_trunk(trunk, state)(torch.from_numpy(np.array(image))[None])
    assert found.shape == wanted.shape == (1, *trunk.view_shape)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-4 * max(1, float(wanted.abs().max())))


def test_images_in_memory_are_cut_and_computed_as_torchvision_does(tmp_path):
    net, image = own_network("resnet18"), picture()
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in net.state_dict().items()}}, tmp_path / "w.pth.tar"
    )
    found = extract_features([image], str(tmp_path / "w.pth.tar"), augs=1, trunk="resnet18-layer3")
    wanted = up_to_layer3(net, models.ResNet18_Weights.IMAGENET1K_V1.transforms(antialias=True)(image)[None]).numpy()
    assert (found.shape, found.dtype) == ((1, 2, 14, 14, 256), np.float32)
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-3, atol=1e-4)  # rounded to float16


@pytest.mark.parametrize(
    ("name", "full", "shape"),
    [
        ("resnet18", "torchvision:resnet18/layer3", (14, 14, 256)),
        ("resnet18/layer4", "torchvision:resnet18/layer4", (7, 7, 512)),
        ("vgg16/features.30", "torchvision:vgg16/features.30", (7, 7, 512)),  # a node of its own name is itself
        ("resnet18/layer3@448", "torchvision:resnet18/layer3@448", (28, 28, 256)),
        ("resnet18/layer3@224", "torchvision:resnet18/layer3", (14, 14, 256)),
        ("vit_b_16@384", "torchvision:vit_b_16/encoder@384", (24, 24, 768)),
        (
            "vit_b_16/encoder.layers.encoder_layer_5",
            "torchvision:vit_b_16/encoder.layers.encoder_layer_5",
            (14, 14, 768),
        ),
        ("squeezenet1_1", "torchvision:squeezenet1_1/features", (13, 13, 512)),
    ],
)
def test_layer_and_size_of_a_name(name, full, shape):
    assert (described(name).name, described(name).view_shape) == (full, shape)


@pytest.mark.parametrize("name", ["resnet50-layer3", "torchvision:resnet50/layer3", "resnet50/layer3", "resnet50"])
def test_other_names_of_the_usual_trunk_are_the_usual_trunk(name):
    assert described(name) is USUAL_TRUNK


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet19", "expected a network of torchvision, found none of that name"),
        ("resnet18/layer9", "layer9: expected a layer with a grid of locations, found none; such are .*layer4"),
        ("resnet18/fc", "expected a layer with a grid of locations, found none"),
        ("keras:resnet18", "expected a maker among timm, torchvision, found 'keras'"),
        ("resnet18@0", "expected 1 to 4096 pixels after @, found 0"),
        ("vit_b_16@230", "expected a network that takes 230 pixels and can be traced, found Input shape indivisible"),
        *[(name, "--list-trunks lists networks") for name in
          ("timm:hf-hub:someone/net", "timm:hf_hub:a/b/c", "torchvision:../x", "a b", "", "resnet18/layer3/x")],
    ],
)  # fmt: skip
def test_names_that_are_none_are_refused_in_one_line(name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        described(name)
    assert "\n" not in str(caught.value)


def of_resnet18(change):
    state = dict(own_network("resnet18").state_dict())
    change(state)
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: of_resnet18(lambda s: s.pop("layer2.0.bn1.running_var")),
         "w.pth: 1 of 75 tensors of torchvision's resnet18 up to layer3 are missing: layer2.0.bn1.running_var"),
        (lambda: of_resnet18(lambda s: s.update({"conv1.weight": torch.zeros(64, 3, 3, 3)})),
         r"1 tensors of the wrong shape: conv1.weight \(expected \(64, 3, 7, 7\), found \(64, 3, 3, 3\)\)"),
        (lambda: own_network("resnet34").state_dict(),
         "expected the tensors of torchvision's resnet18 up to layer3 alone; that does not have layer1.2.conv1.weight"),
        (dict, "75 of 75 tensors of torchvision's resnet18 up to layer3 are missing"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(state, message):
    with pytest.raises(WeightsError, match=message):
        fitted(described("resnet18-layer3"), state(), "w.pth")


def test_hash_is_of_the_tensors_that_decide_the_features(tmp_path):
    state, trunk = dict(own_network("resnet18").state_dict()), described("resnet18-layer3")
    hashes = []
    for name, change in (("a", {}), ("b", {"fc.bias": torch.ones(1000)}), ("c", {"bn1.running_mean": torch.ones(64)})):
        torch.save(state | change, tmp_path / f"{name}.pth")
        hashes.append(load_other_weights(trunk, str(tmp_path / f"{name}.pth")).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_untrained_weights_are_always_the_same_of_a_seed_and_stay_small():
    trunk, before = described("resnet18-layer3"), torch.random.get_rng_state()
    one, again, other = (load_other_weights(trunk, "untrained", seed) for seed in (5, 5, 6))
    assert one.sha256 == again.sha256 != other.sha256
    assert one.variant.name == "torchvision-untrained"
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.inference_mode():
        features = build_grid_trunk(trunk, one.state)(torch.from_numpy(np.array(picture(224, 224)))[None])
    assert 0.01 < float(features.std()) < 1000


def test_published_weights_that_cannot_be_had_are_one_line(monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", fail)
    monkeypatch.delenv("AMNET_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"--weights imagenet1k-v1: expected torchvision's file https://\S+resnet18"):
        load_other_weights(described("resnet18-layer3"), None)
    with pytest.raises(WeightsError, match="--weights: expected imagenet1k-v1 or a file, found 'imagenet1k-v2'"):
        load_other_weights(described("resnet18-layer3"), "imagenet1k-v2")
    assert "imagenet1k-features" not in described("vgg16").published  # which want other pixels


def test_other_trunks_compute_in_float32_unasked_and_are_never_compiled():
    trunk = described("resnet18-layer3")
    found = choose_compute(Hardware("cpu"), 10**9, trunk=trunk)
    assert (found.precision, found.compiled) == ("float32", False)
    half = choose_compute(Hardware("cpu", "bfloat16"), trunk=trunk)
    assert (half.precision, "first_convolutions" in half.kernel_path()) == ("bfloat16", False)
    with pytest.raises(ConfigError, match="--compile: expected the trunk that was measured so, found --trunk torchv"):
        choose_compute(Hardware("cpu", compiled=True), trunk=trunk)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        picture(60, 80, number).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def extract(photos, *words, out="t.h5"):
    words = ["--dataset", "folder", "--root", photos, "--augs", 0, "--weights", "untrained", "--device", "cpu",
             "--out", photos.with_name(out), *words]  # fmt: skip
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def test_file_of_another_trunk_is_resumed_and_no_other_goes_on_with_it(photos):
    assert extract(photos, "--trunk", "resnet18-layer3", "--limit", 2).exit_code == 0
    refused = extract(photos)
    assert refused.exit_code == 2
    assert "trunk: expected resnet50-layer3, found torchvision:resnet18/layer3" in refused.stderr
    assert extract(photos, "--trunk", "torchvision:resnet18/layer3").exit_code == 0
    collection = Collection(photos.with_name("t.h5"))
    assert (collection.status == 1).all()
    spec = collection.spec
    assert (spec.trunk, spec.view_shape, spec.tokens_left_out) == ("torchvision:resnet18/layer3", (14, 14, 256), None)
    given = {"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert spec.trunk_input == given
    assert extract(photos, "--like", collection.path, out="more.h5").exit_code == 0
    assert Collection(photos.with_name("more.h5")).spec == spec
    assert "nothing to do" in extract(photos, "--trunk", "resnet18").stdout


def test_codes_are_made_of_what_is_never_negative_and_of_nothing_else(photos):
    assert extract(photos, "--trunk", "resnet18-layer3", "--dtype", "uint8").exit_code == 0
    collection = Collection(photos.with_name("t.h5"))
    assert collection.scales.shape == (256,)
    wanted = extract_features([photos / "0.png"], "untrained", trunk="resnet18-layer3")[0]
    assert np.abs(collection.read_dequantised(0) - wanted).max() <= collection.scales.max()
    refused = extract(photos, "--trunk", "resnet18/layer3.1.bn2", "--dtype", "uint8", out="u.h5")
    assert refused.exit_code == 2
    assert "--dtype uint8: expected features that are never negative, as behind a ReLU, found -" in refused.stderr
    assert not photos.with_name("u.h5").exists()


def test_half_precision_is_tried_on_the_images_at_hand_and_refused_where_it_does_not_keep_the_features(
    photos, monkeypatch
):
    words = ("--trunk", "resnet18-layer3", "--precision", "bfloat16")
    assert extract(photos, *words).exit_code == 0
    collection = Collection(photos.with_name("t.h5"))
    exact = extract_features([photos / f"{n}.png" for n in range(4)], "untrained", trunk="resnet18-layer3")
    found = collection.read_dequantised(range(4)).reshape(4, -1).astype(np.float64)
    wanted = exact.reshape(4, -1).astype(np.float64)
    apart = (np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max()
    assert 0 < apart == pytest.approx(collection.provenance["apart_from_float32"], rel=0.05)
    monkeypatch.setattr(fidelity, "MOST", apart / 2)
    refused = extract(photos, *words, out="u.h5")
    assert refused.exit_code == 2
    assert "--precision bfloat16: expected features of --trunk torchvision:resnet18/layer3 within" in refused.stderr
    assert "apart on 4 images; leave --precision out" in refused.stderr
    assert not photos.with_name("u.h5").exists()
    assert extract(photos, "--trunk", "resnet18-layer3", out="u.h5").exit_code == 0
    assert "apart_from_float32" not in Collection(photos.with_name("u.h5")).provenance


def test_plans_are_cut_to_the_size_of_the_trunk(photos):
    assert extract(photos, "--trunk", "resnet18/layer3@64", "--plan", "squash264", "--limit", 1).exit_code == 0
    collection = Collection(photos.with_name("t.h5"))
    plan = collection.spec.view_plan
    assert (plan["size"], plan["frame"], collection.view_shape) == (64, 75, (4, 4, 256))
    assert extract(photos, "--trunk", "resnet18/layer3@64", "--limit", 1, out="s.h5").exit_code == 0
    assert Collection(photos.with_name("s.h5")).spec.view_plan["short_side"] == 73


def test_values_that_are_not_finite_fail_a_row_of_either_sign():
    from extract.frozen_trunk import _signed_as_codes, _signed_as_float16

    x = torch.zeros(4, 2, 2, 3)
    x[1, 0, 0, 0], x[2, 1, 1, 2], x[3, 0, 1, 1] = -torch.inf, torch.nan, -7e4  # the last is beyond float16
    assert _signed_as_float16(x)[2].tolist() == [True, False, False, False]
    codes, clipped, finite = _signed_as_codes(x, torch.ones(3))
    assert (clipped.tolist(), finite.tolist()) == ([0, 1, 0, 1], [True, False, False, True])
    assert codes[3].max() == 0


def test_list_of_trunks():
    result = CliRunner().invoke(main, ["--list-trunks"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "resnet50-layer3  (default)"
    assert {"torchvision:resnet18", "torchvision:vit_b_16"} <= set(lines)
    assert any(re.match("timm:NETWORK ", line) for line in lines)


OWN = """
import torch
from torch import nn
from extract.trunk_description import TrunkDescription


def describe(name):
    return TrunkDescription(f"own:{name.network}", "own", name.network, "", (4, 4), 3, 32, 32, mean=(0.0,) * 3,
                            std=(1.0,) * 3, precisions=("float32",), published=("none",), state="own")


def network(trunk):
    return nn.AvgPool2d(8)


def whole(trunk):
    return set()


def at_hand():
    yield "own:pool"
"""


def test_maker_is_one_file(tmp_path, monkeypatch, photos):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "own.py").write_text(OWN)
    monkeypatch.setattr(makers, "__path__", [*makers.__path__, str(tmp_path / "more")])
    try:
        assert extract(photos, "--trunk", "own:pool", "--plan", "squash").exit_code == 0
    finally:
        sys.modules.pop("extract.makers.own", None)
    found = Collection(photos.with_name("t.h5")).read_dequantised(1)[0]
    small = Image.open(photos / "1.png").resize((32, 32), Image.Resampling.BILINEAR)
    wanted = np.asarray(small, np.float32).reshape(4, 8, 4, 8, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_names_of_tensors_are_torchvisions():
    names = wanted_state(makers.maker_of("torchvision").network(described("resnet18-layer3")))
    whole = models.resnet18(weights=None).state_dict()
    assert names.keys() == {name for name in whole if not name.startswith(("layer4", "fc")) and "tracked" not in name}
