"""Checkpoints of ResNet50 that others made: timm's, Places365's, Caffe's, each by its own names and wiring."""

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet50

from amnet import extract_features
from amnet_common.collection import Collection
from amnet_common.errors import WeightsError
from extract.cli import main
from extract.trunk import build_trunk
from extract.variants import KNOWN, MSRA_2015, MSRA_2015_BGR, takes_raw_pixels
from extract.weight_source import VARIANT_NAMES
from extract.weights import load_weights
from headtrain.scoring import photos
from headtrain.scoring.trunk_wanted import file_differences


@pytest.fixture(scope="module")
def state():
    return dict(load_weights("untrained", seed=3).state)


@pytest.fixture(scope="module")
def raw(state):
    """As if it had been trained on pixels from 0 to 255: what they vary more, the first BatchNorm takes off."""
    return dict(state) | {"bn1.running_var": state["bn1.running_var"] * 58.0**2}


def saved(path, content):
    torch.save(content, path)
    return str(path)


def caffes(state):
    """The tensors by Caffe's names, and the first convolution with a bias, as its network has."""
    named = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        affine = kind in ("weight", "bias")
        if layer in ("conv1", "bn1"):
            new = "conv1" if layer == "conv1" else ("scale_conv1" if affine else "bn_conv1")
        else:
            stage, block, part, *more = layer.split(".")
            branch = "1" if part == "downsample" else f"2{'abc'[int(part[-1]) - 1]}"
            conv = part.startswith("conv") or more == ["0"]
            word = "res" if conv else ("scale" if affine else "bn")
            new = f"{word}{int(stage[-1]) + 1}{'abcdef'[int(block)]}_branch{branch}"
        named[f"{new}.{kind}"] = tensor
    bias = torch.linspace(-1, 1, 64)
    return named | {"conv1.bias": bias, "bn_conv1.running_mean": named["bn_conv1.running_mean"] + bias}


def test_names_of_variants_are_those_of_the_option():
    assert tuple(KNOWN) == VARIANT_NAMES


def test_places365_is_torchvisions_network_in_a_dictionary(tmp_path, state):
    """Its published code builds torchvision's resnet50 with 365 classes, and takes `module.` off."""
    net = resnet50(num_classes=365).state_dict() | dict(state)
    content = {
        "epoch": 90,
        "arch": "resnet50",
        "best_prec1": 54.7,
        "state_dict": {f"module.{k}": v for k, v in net.items()},
    }
    found = load_weights(saved(tmp_path / "resnet50_places365.pth.tar", content))
    assert found.variant.name == "torchvision"
    assert found.sha256 == load_weights("untrained", 3).sha256


def test_timms_resnet50_has_torchvisions_names(tmp_path, state):
    timm = pytest.importorskip("timm", reason="timm is not installed; pip install 'amnet[timm]'")
    net = timm.create_model("resnet50", pretrained=False)
    net.load_state_dict(dict(state), strict=False)
    found = load_weights(saved(tmp_path / "timm.pth", net.state_dict()))
    assert (found.variant.name, found.sha256) == ("torchvision", load_weights("untrained", 3).sha256)


def test_file_by_caffes_names_is_the_network_of_caffe(tmp_path, raw):
    found = load_weights(saved(tmp_path / "caffe.pth", caffes(raw)))
    assert found.variant == MSRA_2015_BGR
    assert found.state.keys() == raw.keys()
    for name, tensor in raw.items():
        torch.testing.assert_close(found.state[name], tensor, rtol=0, atol=1e-6)


def test_raw_pixels_are_recognised_and_the_order_of_colours_is_asked_for(tmp_path, state, raw):
    assert (takes_raw_pixels(state), takes_raw_pixels(raw)) == (False, True)
    path = saved(tmp_path / "w.pth", {"state_dict": raw})
    message = (
        f"{path}: its first convolution takes pixels from 0 to 255, as Caffe's networks do: expected to be told its "
        "colours, found nothing that says them; --variant msra-2015-bgr for blue first, as Caffe's own, "
        "msra-2015 for red first"
    )
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        load_weights(path)
    for name in VARIANT_NAMES:
        assert load_weights(path, variant=name).variant == KNOWN[name]


def test_trained_weights_of_caffe_are_recognised(shared):
    found = load_weights(str(shared / "weights" / "resnet50-msra-trunk.safetensors"))
    assert takes_raw_pixels(found.state)
    assert found.variant == MSRA_2015


def test_variant_that_contradicts_the_file_is_refused(tmp_path, raw):
    save_file(raw, tmp_path / "w.safetensors", {"variant": "msra-2015"})
    with pytest.raises(
        WeightsError, match=r"--variant torchvision: expected the variant that .* names, found .* msra-2015"
    ):
        load_weights(str(tmp_path / "w.safetensors"), variant="torchvision")
    with pytest.raises(WeightsError, match="--variant msra-2015: expected a file as --weights, found untrained"):
        load_weights("untrained", variant="msra-2015")


def test_blue_first_is_red_first_of_pixels_turned_round(raw):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8))
    turned = dict(raw) | {"conv1.weight": raw["conv1.weight"].flip(1)}
    with torch.inference_mode():
        one, other = build_trunk(MSRA_2015, raw)(pixels), build_trunk(MSRA_2015_BGR, turned)(pixels)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_command_keeps_the_variant_and_predict_tells_it(tmp_path, raw, monkeypatch):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "a.png")
    path, out = saved(tmp_path / "w.pth", raw), tmp_path / "t.h5"
    words = ["--dataset", "folder", "--root", tmp_path / "photos", "--augs", 0, "--weights", path, "--out", out,
             "--device", "cpu", "--precision", "float32", "--variant", "msra-2015-bgr"]  # fmt: skip
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    spec = Collection(out).spec.as_dict()
    assert spec["variant"] == "msra-2015-bgr"
    assert file_differences(tmp_path / "w.pth", spec) == []
    asked = []

    class Done:
        returncode = 2

    monkeypatch.setattr(photos, "command", lambda: "amnet-extract")
    monkeypatch.setattr("subprocess.run", lambda words, **_: asked.extend(words) or Done())
    (tmp_path / "work").mkdir()
    photos.extracted([], tmp_path / "work", spec, path, "cpu")
    assert asked[asked.index("--variant") + 1] == "msra-2015-bgr"


def test_variant_is_of_the_usual_trunk_alone(tmp_path):
    words = ["--dataset", "folder", "--root", tmp_path, "--trunk", "resnet18-layer3", "--weights", "untrained"]
    (tmp_path / "a.png").write_bytes(b"x")
    result = CliRunner().invoke(
        main, [str(word) for word in [*words, "--variant", "msra-2015", "--out", tmp_path / "t.h5"]]
    )
    assert "--variant: expected with the usual trunk alone, found --trunk torchvision:resnet18/layer3" in result.stderr


def test_variant_of_images_in_memory(tmp_path, raw):
    path, image = saved(tmp_path / "w.pth", raw), np.full((30, 30, 3), (200, 30, 90), np.uint8)
    red, blue = (extract_features([image], path, variant=name) for name in ("msra-2015", "msra-2015-bgr"))
    assert np.abs(red - blue).max() > 0.01
