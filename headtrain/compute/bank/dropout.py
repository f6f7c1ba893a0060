"""Dropout by counting: whether a value is kept is a hash of (seed, epoch, step, place, image, value), and nothing else.

No state, no draws: the same bits on a CPU and on a GPU, alone or in a bank, for any chunk of a backward pass. Compiled,
the hash is computed where its factor is used, and no mask stands in memory. Letters: N heads, B images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.seeds import keyed_philox
from headtrain.heads.noise import FINE, Factors, Site

WORDS = 2**15  # hashed at a time by eager kernels of a CPU: they stay in its cache
LOW, LOWER = 0xFFFF, 0x1FFFF  # what is left of 32 bits after a shift by 16, by 15
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # as signed integers


class Place(NamedTuple):
    """Hold a place in a forward pass of so many images where heads of a bank drop values."""

    shape: tuple[int, ...]  # of one head's factors
    images: int  # of the pass; 1 where the factors are the same for all images
    kept: Tensor | float  # of FINE, by head: (N, 1, 1) int32, or one number for all; FINE where nothing is dropped

    @property
    def values(self) -> int:
        """Return how many values an image has."""
        return math.prod(self.shape) // self.images


def place_of(sites: Sequence[Site], images: int, device: torch.device | str = "cpu") -> Place | None:
    """Return the place where the heads have these `sites`, one each; None where no head drops anything."""
    kept, shape = [kept_of(site.share) for site in sites], sites[0].shape
    if {*kept} == {FINE}:
        return None
    alike = len({*kept}) == 1
    by_head = kept[0] if alike else torch.tensor(kept, dtype=torch.int32, device=device).view(-1, 1, 1)
    return Place(shape, images if shape and shape[0] % images == 0 else 1, by_head)


def kept_of(share: float) -> int:
    """Return how many of FINE equally likely numbers keep a value."""
    return round((1 - share) * FINE)


def keys_of(seed: int, epoch: int, steps: int, places: int) -> np.ndarray:
    """Draw the keys (steps, places, 2) int32 of one head's dropout in one epoch."""
    raw = keyed_philox("dropout", seed, epoch).random_raw(steps * places)  # uint64, a stream that never changes
    return np.asarray(raw, np.uint64).view(np.int32).reshape(steps, places, 2)


def factors(place: Place | None, key: Tensor, image: Tensor) -> Factors:
    """Compute what each head multiplies by at a place: 0 for its share of the values, one value above 1 for the others.

    `key` (N, 2) int32; `image` (B,) int32 numbers the images within their batch. Returns (N, *shape) float32.
    """
    if place is None:
        return None
    image, scale = image[: place.images], FINE / place.kept
    if torch.compiler.is_compiling():
        return ((drawn(key, image, place.values) < place.kept) * scale).view(len(key), *place.shape)
    result = torch.empty(len(key), place.images, place.values, device=key.device)
    some = max(1, WORDS // place.values) if key.device.type == "cpu" else place.images
    for part, out in zip(image.split(some), result.split(some, dim=1), strict=True):
        torch.mul(packed(key, part, place.values) < place.kept - FINE // 2, scale, out=out)
    return result.view(len(key), *place.shape)


def drawn(key: Tensor, image: Tensor, values: int) -> Tensor:
    """Draw 0 ... FINE - 1 for each of so many values of each image, (N, B, values) int32."""
    value = torch.arange(values, dtype=torch.int32, device=key.device)
    word = hashed(key, image.unsqueeze(1) * half(values) + (value >> 1))  # (N, B, values): two values share a word
    return (word >> ((value & 1) * 16)) & LOW


def packed(key: Tensor, image: Tensor, values: int) -> Tensor:
    """Draw the same less FINE / 2, (N, B, values) int16, each word hashed once."""
    word = torch.arange(half(values), dtype=torch.int32, device=key.device)
    words = hashed(key, image.unsqueeze(1) * half(values) + word)  # (N, B, half)
    return words.view(torch.int16)[..., :values].bitwise_xor_(-FINE // 2)


def half(values: int) -> int:
    """Return how many words of two values hold so many."""
    return -(-values // 2)


def hashed(key: Tensor, counter: Tensor) -> Tensor:
    """Compute the hash of a counter (B, W) int32 with each head's key (N, 2) int32: (N, B, W) int32.

    The mixing of Wellons' lowbias32 (2018), whose two rounds each take half of the key: no two keys give shifted
    streams.
    """
    first, second = key[:, 0].view(-1, 1, 1), key[:, 1].view(-1, 1, 1)
    z = counter ^ first  # new; what follows is done in place
    z ^= (z >> 16) & LOW
    z *= FIRST
    z ^= second
    z ^= (z >> 15) & LOWER
    z *= SECOND
    z ^= (z >> 16) & LOW
    return z
