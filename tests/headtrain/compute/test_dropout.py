"""Dropout by counting, against a hash written with NumPy's unsigned integers, and against chance."""

import math
import shutil

import numpy as np
import pytest
import torch

from headtrain.compute.bank.dropout import WORDS, drawn, factors, keys_of, place_of
from headtrain.heads.noise import FINE, Site


def hashed(key, counter):
    """lowbias32 (Wellons 2018), the key taken in before each multiplication."""
    first, second = (np.uint32(half) for half in np.asarray(key, np.int32).view(np.uint32))
    z = np.asarray(counter, np.uint32) ^ first
    z = (z ^ (z >> np.uint32(16))) * np.uint32(0x7FEB352D) ^ second
    z = (z ^ (z >> np.uint32(15))) * np.uint32(0x846CA68B)
    return z ^ (z >> np.uint32(16))


def wanted(key, image, values):
    """The number of each value of each image: the low half of a word, then its high half."""
    word = hashed(key, image[:, None] * -(-values // 2) + np.arange(values) // 2)
    return (word >> np.uint32(16) * np.arange(values, dtype=np.uint32) % np.uint32(32)) & np.uint32(0xFFFF)


def key_of(seed=0, step=0, place=0):
    return torch.from_numpy(keys_of(seed, 1, 2, 2)[step, place]).unsqueeze(0)  # (1, 2)


def numbers(key, images, values):
    return drawn(key, torch.arange(images, dtype=torch.int32), values)[0]


@pytest.mark.parametrize("values", [1, 6, 7, 2 * WORDS + 3])
def test_the_numbers_are_those_of_the_hash(values):
    key, image = key_of(5), np.array([0, 3, 4000])
    found = drawn(key, torch.from_numpy(image).int(), values)[0]
    np.testing.assert_array_equal(found.numpy(), wanted(key[0].numpy(), image, values).astype(np.int32))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 7), (3, 2 * WORDS + 1), (6, 5)])
def test_a_value_is_kept_where_its_number_is_below_the_share_and_raised(shape, share):
    key, image = key_of(), torch.arange(3, dtype=torch.int32)
    found = factors(place_of([Site(share, shape)], 3), key, image)
    values, kept = math.prod(shape) // 3, round((1 - share) * FINE)
    number = wanted(key[0].numpy(), np.arange(3), values)
    np.testing.assert_allclose(found[0].reshape(3, values), np.where(number < kept, FINE / kept, 0), rtol=1e-6)


@pytest.mark.skipif(not shutil.which("g++"), reason="no compiler: expected g++, which torch.compile calls")
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.0)])
def test_compiled_kernels_drop_what_eager_ones_drop(shares):
    place = place_of([Site(share, (3, 5, 7)) for share in shares], 3)
    key, image = torch.cat([key_of(1), key_of(2)]), torch.arange(3, dtype=torch.int32)
    compiled = torch.compile(factors, dynamic=False)
    assert torch.equal(compiled(place, key, image), factors(place, key, image))


def test_an_image_is_dropped_from_alike_in_any_chunk_and_beside_any_head():
    sites, keys, image = [Site(0.5, (7, 4))], torch.cat([key_of(1), key_of(2)]), torch.arange(7, dtype=torch.int32)
    whole = factors(place_of(sites * 2, 7), keys, image)
    for start, stop in ((0, 3), (3, 7)):
        part = factors(place_of([Site(0.5, (stop - start, 4))] * 2, stop - start), keys, image[start:stop])
        assert torch.equal(part, whole[:, start:stop])
    assert torch.equal(factors(place_of(sites, 7), keys[1:], image)[0], whole[1])


def test_a_head_that_drops_nothing_beside_one_that_does_keeps_every_value():
    place = place_of([Site(0.0, (9, 50)), Site(0.5, (9, 50))], 9)
    found = factors(place, torch.cat([key_of(1), key_of(2)]), torch.arange(9, dtype=torch.int32))
    assert (found[0] == 1).all()
    assert 0 < (found[1] == 0).float().mean() < 1
    assert place_of([Site(0.0, (9, 50))] * 2, 9) is None


def test_numbers_are_uniform_and_independent_of_their_neighbours():
    """Chi-square over 256 bins (its 0.9999 quantile is 344); correlations within four standard errors of zero."""
    n = 1_000_000
    found = numbers(key_of(3), n // 500, 500).flatten().double()
    counts = torch.bincount((found / 256).long(), minlength=256).double()
    assert ((counts - n / 256) ** 2 / (n / 256)).sum() < 344
    low = torch.bincount((found % 256).long(), minlength=256).double()
    assert ((low - n / 256) ** 2 / (n / 256)).sum() < 344
    for lag in (1, 2, 3, 500, 1000):
        pair = torch.corrcoef(torch.stack([found[:-lag], found[lag:]]))[0, 1]
        assert abs(pair) < 4 / math.sqrt(n), lag


def test_keys_of_other_seeds_steps_and_places_give_unrelated_numbers():
    keys = [key_of(0), key_of(1), key_of(0, step=1), key_of(0, place=1)]
    found = torch.stack([numbers(key, 200, 500).flatten().double() for key in keys])
    assert (torch.corrcoef(found) - torch.eye(4)).abs().max() < 4 / math.sqrt(found.shape[1])


def test_keys_are_the_same_on_every_machine():
    """The raw stream of Philox under the digest of a text: bits that no version of NumPy changes."""
    assert keys_of(7, 2, 1, 2).tolist() == [[[1318984852, -2049480156], [-491954958, 1005472965]]]
