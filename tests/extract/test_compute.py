"""Device, arithmetic and batch: chosen once; the frozen trunk keeps views apart."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amnet_common.errors import ConfigError
from amnet_common.quantise import quantise
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
    found, clipped, finite = frozen(weights, precision)(pixels[:2])
    assert (clipped.tolist(), finite.tolist()) == ([0, 0], [True, True])
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((2, 14, 14, 1024), np.float16, True)
    assert np.abs(found - wanted).max() < tolerance * wanted.max()


def test_view_has_the_same_bits_alone_and_in_a_full_batch(weights, pixels):
    trunk = frozen(weights)
    together = trunk(pixels[:2]).features
    np.testing.assert_array_equal(trunk(pixels[:1]).features, together[:1])
    np.testing.assert_array_equal(trunk(pixels[[0, 2]]).features[:1], together[:1])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_network_always_runs_whole_batches(weights, pixels, views):
    trunk, sizes = frozen(weights, batch_size=3), []
    trunk.trunk = lambda batch: sizes.append(len(batch)) or torch.zeros(len(batch), 14, 14, 1024)
    assert ([len(part) for part in trunk(pixels[:views])], sizes) == ([views] * 3, [3])


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


BEGUN = {"device": "cpu", "precision": "float16", "batch_size": 5, "threads": 1}


def test_what_is_not_asked_for_is_as_the_file_was_begun():
    torch.set_num_threads(2)
    try:
        assert choose_compute("cpu", "auto", None, None, BEGUN) == Compute("cpu", "float16", 5, 1)
        assert torch.get_num_threads() == 1
        assert choose_compute("cpu", "float32", 3, 2, BEGUN) == Compute("cpu", "float32", 3, 2)
    finally:
        torch.set_num_threads(1)


def test_another_kind_of_device_keeps_the_precision_alone(monkeypatch):
    monkeypatch.setattr("extract.compute._fastest_precision", lambda _: "bfloat16")
    begun = BEGUN | {"device": "cuda", "batch_size": 256, "threads": 99}
    assert choose_compute("cpu", "auto", None, 1, begun) == Compute("cpu", "float16", 8, 1)


def test_precision_of_a_newer_file_is_refused():
    with pytest.raises(ConfigError, match="--precision: wanted float32, bfloat16, float16, found 'float8'"):
        choose_compute("cpu", "auto", None, None, BEGUN | {"precision": "float8"})


def trunk_that_gives(weights, features: np.ndarray) -> FrozenTrunk:
    """A frozen trunk whose network answers with these, (n, 14, 14, 1024) float32."""
    trunk = frozen(weights, batch_size=len(features))
    trunk.trunk = lambda _: torch.from_numpy(features)
    return trunk


@pytest.mark.parametrize("value", [np.inf, np.nan, 65520.0])
@pytest.mark.parametrize("place", [(0, 0, 0), (13, 13, 1023), (5, 7, 500)])
def test_view_with_a_value_that_float16_cannot_hold_is_not_finite(weights, pixels, value, place):
    features = np.full((3, 14, 14, 1024), 65504, np.float32)  # the largest that it can
    features[(1, *place)] = value
    assert trunk_that_gives(weights, features)(pixels).finite.tolist() == [True, False, True]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1, 3, 100]))
@settings(max_examples=4)
def test_codes_on_the_device_are_those_of_the_definition(weights, pixels, seed, top):
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.normal(0, 1, (3, 14, 14, 1024)), 0).astype(np.float32) * np.float32(top)
    scales = rng.uniform(1e-3, 1e-2, 1024).astype(np.float32) * np.float32(top)
    features[0, 0, 0] = scales * (rng.integers(0, 256, 1024) + np.float32(0.5))  # ties
    features[2] *= 1e4
    trunk = trunk_that_gives(weights, features)
    trunk.quantise_by(scales)
    found = trunk(pixels)
    wanted = [quantise(view, scales) for view in features]
    np.testing.assert_array_equal(found.features, [codes for codes, _ in wanted])
    assert found.clipped.tolist() == [clipped for _, clipped in wanted]
    assert (found.features.dtype, found.finite.tolist(), found.clipped[0] < found.clipped[2]) == (
        np.uint8,
        [True] * 3,
        True,
    )


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_view_with_a_value_that_is_no_number_has_no_codes(weights, pixels, value):
    features = np.ones((3, 14, 14, 1024), np.float32)
    features[1, 3, 4, 5] = value
    trunk = trunk_that_gives(weights, features)
    trunk.quantise_by(np.full(1024, 0.5, np.float32))
    found = trunk(pixels)
    assert found.finite.tolist() == [True, False, True]
    np.testing.assert_array_equal(found.features[[0, 2]], 2)


def test_values_far_above_the_range_are_clipped_and_fine(weights, pixels):
    features = np.zeros((3, 14, 14, 1024), np.float32)
    features[2, 0, 0, :4] = 1e30, 255.6, 255.4, 255
    trunk = trunk_that_gives(weights, features)
    trunk.quantise_by(np.ones(1024, np.float32))
    found = trunk(pixels)
    assert (found.clipped.tolist(), found.finite.tolist()) == ([0, 0, 2], [True] * 3)
    assert found.features[2, 0, 0, :5].tolist() == [255, 255, 255, 255, 0]
