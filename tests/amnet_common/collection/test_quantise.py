"""uint8 codes: at most half a step from the feature, what is clipped is counted, a collection of them reads back."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.collection.quantise import dequantise, quantise, scales_from_maxima
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError

FEATURES = st.lists(st.floats(0, 100, width=32), min_size=3, max_size=30).map(
    lambda values: np.array(values[: len(values) // 3 * 3], np.float32).reshape(-1, 3)
)
SCALES = st.lists(st.floats(0.0009765625, 1, width=32), min_size=3, max_size=3).map(lambda s: np.array(s, np.float32))


def naive_codes(features: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, int]:
    """One value after the other, as the definition says."""
    codes, clipped = np.zeros(features.shape, np.uint8), 0
    for place, value in np.ndenumerate(features):
        code = round(float(value / scales[place[-1]]))
        clipped += code > 255
        codes[place] = min(max(code, 0), 255)
    return codes, clipped


@given(FEATURES, SCALES)
def test_codes_and_their_clipping_equal_those_of_a_loop(features, scales):
    codes, clipped = quantise(features, scales)
    wanted, wanted_clipped = naive_codes(features, scales)
    np.testing.assert_array_equal(codes, wanted)
    assert (codes.dtype, clipped) == (np.uint8, wanted_clipped)


@given(FEATURES, SCALES)
def test_unclipped_values_are_at_most_half_a_scale_off(features, scales):
    restored = dequantise(quantise(features, scales)[0], scales)
    assert restored.dtype == np.float32
    fits = features <= 255 * scales
    assert (np.abs(restored - features) <= 0.5001 * scales)[fits].all()
    assert (restored <= features)[~fits].all()


@given(st.lists(st.integers(0, 255), min_size=3, max_size=30), SCALES)
def test_codes_round_trip(values, scales):
    codes = np.array(values[: len(values) // 3 * 3], np.uint8).reshape(-1, 3)
    again, clipped = quantise(dequantise(codes, scales), scales)
    np.testing.assert_array_equal(again, codes)
    assert clipped == 0


def test_values_above_the_range_are_clipped_and_counted():
    codes, clipped = quantise(np.array([[0.0, 255.4, 255.6, 1e9, np.inf]], np.float32), np.ones(5, np.float32))
    assert (codes.tolist(), clipped) == ([[0, 255, 255, 255, 255]], 3)


def test_scales_reach_from_zero_to_the_maximum():
    maxima = np.array([0.5, 255, 3], np.float32)
    scales = scales_from_maxima(maxima)
    np.testing.assert_allclose(255 * scales, maxima, rtol=1e-6)
    codes, clipped = quantise(maxima, scales)
    assert (codes.tolist(), clipped, scales.dtype) == ([255, 255, 255], 0, np.float32)


def test_channel_that_never_fired_gets_the_median_scale_of_the_others():
    scales = scales_from_maxima(np.array([0, 1, 2, 30, 0]))
    np.testing.assert_array_equal(scales, np.array([2, 1, 2, 30, 2], np.float32) / np.float32(255))


def test_sample_in_which_nothing_fired_gives_scales_of_one():
    assert scales_from_maxima(np.zeros(3)).tolist() == [1, 1, 1]


def test_stored_floats_are_left_as_they_are():
    values = np.array([[0.5, 2]], np.float16)
    np.testing.assert_array_equal(dequantise(values, None), values.astype(np.float32))


def test_collection_of_codes_reads_back_as_written(make_uint8, make_collection, scales):
    collection = Collection(make_uint8())
    assert (collection.dtype, collection.view_shape) == (np.uint8, (14, 14, 1024))
    np.testing.assert_array_equal(collection.scales, scales)
    found = collection.read([2, 0], [1, 0], check=True)
    for codes, (row, view) in zip(found, [(2, 1), (0, 0)], strict=True):
        np.testing.assert_array_equal(codes, quantise(make_collection.features_of(row, view), scales)[0])
    restored = collection.read_dequantised([2, 0], [1, 0])
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, found * scales)


def test_clipped_values_of_each_image_are_kept(make_uint8, make_collection, scales):
    collection = Collection(make_uint8())
    wanted = sum((np.rint(make_collection.features_of(1, view) / scales) > 255).sum() for view in range(2))
    assert wanted > 0
    assert collection.images["clipped"][1] == wanted


def test_codes_take_half_the_bytes(make_uint8, make_collection):
    codes, floats = (Collection(path).parts[0].planes.features for path in (make_uint8(), make_collection()))
    assert (codes.row_bytes, floats.row_bytes) == (2 * 49 * 4096, 2 * 98 * 4096)


def test_scales_that_are_not_those_of_the_spec_are_refused(make_uint8, scales, tmp_path):
    spec = Collection(make_uint8(done=())).spec
    other = dataclasses.replace(spec, scales_sha256="00" * 32)
    with pytest.raises(CollectionError, match=f"/scales: expected sha256 {'00' * 32} of its spec, found other scales"):
        create_skeleton(tmp_path / "new.h5", Dataset("test", tmp_path, ("a",)), 2, other, {}, {}, scales)
    assert not (tmp_path / "new.h5").exists()
