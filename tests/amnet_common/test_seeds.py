"""Random numbers that depend on names: pinned, so that a collection begun today can be finished years from now."""

import os
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.seeds import derived_seed, keyed_philox, uniforms

KEYS = st.lists(st.integers() | st.text(max_size=10), min_size=1, max_size=4)


def test_uniforms_never_change():
    assert list(islice(uniforms("crop", 0, "a.jpg", 1), 3)) == [
        0.7653704767984836,
        0.2455250607441274,
        0.1012418942695773,
    ]


@pytest.mark.parametrize(("key", "seed"), [(("head", 1), 5424433372178967537), (("é", 0), 5361866713326693823)])
def test_derived_seeds_never_change(key, seed):
    assert derived_seed(*key) == seed


@given(KEYS)
def test_uniforms_are_the_doubles_of_numpys_generator(key):
    wanted = np.random.Generator(keyed_philox(*key)).random(5)
    assert list(islice(uniforms(*key), 5)) == wanted.tolist()


@given(KEYS)
def test_derived_seed_fits_into_63_bits(key):
    assert 0 <= derived_seed(*key) < 2**63


def test_every_part_of_the_key_counts():
    keys = [("crop", 0, "a", 1), ("crop", 1, "a", 1), ("crop", 0, "b", 1), ("crop", 0, "a", 2), ("crop", 0, "a1")]
    assert len({derived_seed(*key) for key in keys}) == len(keys)


def test_file_name_that_is_not_utf8_is_a_key():
    assert derived_seed(os.fsdecode(b"caf\xe9.jpg")) != derived_seed(os.fsdecode(b"caf\xe8.jpg"))
