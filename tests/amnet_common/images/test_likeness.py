"""A perceptual hash: what leaves it as it is, and what does not."""

import io

import numpy as np
import pytest
from PIL import Image

from amnet_common.images.likeness import MOST_BITS, alike, difference_hash


def photograph(seed):
    """Smooth patches, as a photograph has."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)


def saved(image, **how):
    file = io.BytesIO()
    image.save(file, **how)
    return Image.open(file)


def bits_between(a, b):
    return int((difference_hash(a) != difference_hash(b)).sum())


@pytest.mark.parametrize("change", [
    lambda image: saved(image, format="JPEG", quality=30), lambda image: saved(image, format="WEBP", quality=40),
    lambda image: image.resize((123, 97)), lambda image: image.convert("L"),
    lambda image: image.point(lambda value: value // 2), lambda image: image.crop((2, 2, 398, 298)),
])  # fmt: skip
def test_another_encoding_size_or_brightness_is_the_same_picture(change):
    for seed in range(5):
        assert bits_between(photograph(seed), change(photograph(seed))) <= MOST_BITS


def test_other_pictures_are_others():
    hashes = np.array([difference_hash(photograph(seed)) for seed in range(40)])
    assert list(alike(hashes)) == []


def test_pairs_are_those_of_a_comparison_bit_by_bit(monkeypatch):
    monkeypatch.setattr("amnet_common.images.likeness.BLOCK", 7)
    hashes = np.random.default_rng(0).random((40, 256)) < 0.5
    hashes[9], hashes[31] = hashes[2], hashes[30]
    hashes[31, :10] ^= True
    hashes[20] = hashes[30]
    hashes[20, :11] ^= True
    wanted = [(i, j, n) for i in range(40) for j in range(i + 1, 40)
              if (n := int((hashes[i] != hashes[j]).sum())) <= MOST_BITS]  # fmt: skip
    assert sorted(alike(hashes)) == wanted == [(2, 9, 0), (20, 31, 1), (30, 31, 10)]


def test_empty_pictures_are_not_called_the_same():
    hashes = np.array([difference_hash(Image.new("RGB", (50, 50), colour)) for colour in ("black", "white", "red")])
    assert list(alike(hashes)) == []
