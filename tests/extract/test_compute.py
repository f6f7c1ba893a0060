"""Device, arithmetic and batch: chosen once; the frozen trunk keeps views apart."""

import numpy as np
import pytest
import torch

from amnet_common.errors import ConfigError
from extract.compute import Compute, FrozenTrunk, choose_compute
from extract.trunk import build_trunk
from extract.weights import load_weights


@pytest.fixture(scope="module")
def weights():
    return load_weights("untrained")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


def frozen(weights, precision="float32", batch_size=2) -> FrozenTrunk:
    return FrozenTrunk(weights, Compute("cpu", precision, batch_size, torch.get_num_threads()))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_frozen_trunk_gives_the_references_features_as_float16(weights, pixels, precision, tolerance):
    with torch.inference_mode():
        wanted = build_trunk(weights.variant, weights.state)(torch.from_numpy(pixels[:2])).numpy()
    found = frozen(weights, precision)(pixels[:2])
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((2, 14, 14, 1024), np.float16, True)
    assert np.abs(found - wanted).max() < tolerance * wanted.max()


def test_view_has_the_same_bits_alone_and_in_a_full_batch(weights, pixels):
    trunk = frozen(weights)
    together = trunk(pixels[:2])
    np.testing.assert_array_equal(trunk(pixels[:1]), together[:1])
    np.testing.assert_array_equal(trunk(pixels[[0, 2]])[:1], together[:1])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_network_always_runs_whole_batches(weights, pixels, views):
    trunk, sizes = frozen(weights, batch_size=3), []
    trunk.trunk = lambda batch: sizes.append(len(batch)) or torch.zeros(len(batch), 14, 14, 1024)
    assert (len(trunk(pixels[:views])), sizes) == (views, [3])


@pytest.mark.parametrize("batch_size", [0, -8])
def test_batch_below_1_is_refused(batch_size):
    with pytest.raises(ConfigError, match=f"--batch-size: wanted 1 or more, found {batch_size}"):
        choose_compute("cpu", "float32", batch_size)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", ""])
def test_device_that_cannot_be_used_is_refused_with_one_line(device):
    with pytest.raises(ConfigError, match=f"--device: wanted a device that torch can use, found '{device}'") as raised:
        choose_compute(device, "float32", None)
    assert "\n" not in str(raised.value)


def test_kernel_path_says_what_the_last_bits_depend_on():
    path = choose_compute("cpu", "float32", 4).kernel_path()
    assert {
        "device": "cpu",
        "precision": "float32",
        "batch_size": 4,
        "torch": torch.__version__,
    }.items() <= path.items()


def test_what_is_asked_for_is_kept_and_auto_is_resolved():
    assert choose_compute("cpu", "bfloat16", 3) == Compute("cpu", "bfloat16", 3, torch.get_num_threads())
    auto = choose_compute("auto", "auto", None)
    assert auto.precision in {"float32", "bfloat16", "float16"}
    assert auto.device == ("cuda" if torch.cuda.is_available() else "cpu")
