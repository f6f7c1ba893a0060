"""The frozen trunk keeps views apart, whatever its arithmetic and kernels."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amnet_common.collection.quantise import dequantise, quantise
from amnet_common.errors import ConfigError
from extract.compute import Compute
from extract.frozen_trunk import FrozenTrunk
from extract.trunk import build_trunk
from extract.weights import load_weights

COMPILER = pytest.mark.skipif(not shutil.which("g++"), reason="no compiler: expected g++, which torch.compile calls")


@pytest.fixture(scope="module")
def weights():
    return load_weights("untrained")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def wanted(weights, pixels):
    """(3, 14, 14, 1024) float32 by the network as it is written: the reference of every path."""
    with torch.inference_mode():
        return build_trunk(weights.variant, weights.state)(torch.from_numpy(pixels)).numpy()


def frozen(weights, precision="float32", batch_size=2, compiled=False, device="cpu") -> FrozenTrunk:
    return FrozenTrunk(weights, Compute(device, precision, batch_size, torch.get_num_threads(), compiled))


PATHS = [("float32", False, 1e-3), ("bfloat16", False, 0.05)]
COMPILED_PATHS = [("float32", True, 1e-3), ("bfloat16", True, 0.05)]


@pytest.mark.parametrize(
    ("precision", "compiled", "tolerance"),
    [*PATHS, *(pytest.param(*path, marks=COMPILER) for path in COMPILED_PATHS)],
)
def test_every_path_gives_the_references_features_as_float16(weights, pixels, wanted, precision, compiled, tolerance):
    found, clipped, finite = frozen(weights, precision, compiled=compiled)(pixels[:2])
    assert (clipped.tolist(), finite.tolist()) == ([0, 0], [True, True])
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((2, 14, 14, 1024), np.float16, True)
    assert np.abs(found - wanted[:2]).max() < tolerance * wanted.max()
    assert min(cosines(found, wanted[:2])) > 0.999


def cosines(a, b):
    """Of the features of every view."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_network_that_does_not_compile_is_refused_with_one_line(weights):
    def failing(_):
        raise RuntimeError("no such kernel\nmore of it")

    trunk = frozen(weights)
    trunk.run = failing
    with pytest.raises(ConfigError, match=r"^--compile: .* \(no such kernel\); --no-compile leaves that out$"):
        trunk.warm_up()


@COMPILER
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN: expected a torch with it")
def test_compiled_network_has_its_weights_laid_out_and_its_sums_within_convolutions(weights, pixels):
    trunk = frozen(weights, compiled=True)
    trunk(pixels[:2])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        trunk(pixels[:2])
    convolutions = {event.key for event in profile.key_averages() if "conv" in event.key}
    assert convolutions == {"mkldnn::_convolution_pointwise", "mkldnn::_convolution_pointwise_"}


@COMPILER
def test_compiled_network_gives_a_view_the_same_bits_again_whatever_is_beside_it(weights, pixels):
    one, two = (frozen(weights, "bfloat16", compiled=True) for _ in range(2))
    together = one(pixels[:2]).features
    np.testing.assert_array_equal(two(pixels[:1]).features, together[:1])
    np.testing.assert_array_equal(two(pixels[[0, 2]]).features[:1], together[:1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: expected one that torch can use")
@pytest.mark.parametrize(("precision", "compiled"), [("float32", False), ("float16", False), ("float16", True)])
@pytest.mark.parametrize("scales", [None, np.full(1024, 0.02, np.float32)])
def test_gpu_gives_the_references_features_with_batches_under_way(weights, pixels, wanted, precision, compiled, scales):
    trunk = frozen(weights, precision, compiled=compiled, device="cuda")
    if scales is not None:
        trunk.quantise_by(scales)
    stored = wanted if scales is None else np.minimum(wanted, 255 * scales)
    pairs = [[0, 1], [1, 2], [2, 0]] * 2
    under_way = [trunk(pixels[pair]) for pair in pairs]
    for pair, batch in zip(pairs, under_way, strict=True):
        found = dequantise(batch.result().features, scales)
        assert min(cosines(found, stored[pair])) > 0.999


def test_view_has_the_same_bits_alone_and_in_a_full_batch(weights, pixels):
    trunk = frozen(weights)
    together = trunk(pixels[:2]).features
    np.testing.assert_array_equal(trunk(pixels[:1]).features, together[:1])
    np.testing.assert_array_equal(trunk(pixels[[0, 2]]).features[:1], together[:1])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_network_always_runs_whole_batches(weights, pixels, views):
    trunk, sizes = frozen(weights, batch_size=3), []
    trunk.run = lambda batch: sizes.append(len(batch)) or torch.zeros(len(batch), 14, 14, 1024)
    assert ([len(part) for part in trunk(pixels[:views])], sizes) == ([views] * 3, [3])


def trunk_that_gives(weights, features: np.ndarray) -> FrozenTrunk:
    """A frozen trunk whose network answers with these, (n, 14, 14, 1024) float32."""
    trunk = frozen(weights, batch_size=len(features))
    trunk.run = lambda _: torch.from_numpy(features)
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
