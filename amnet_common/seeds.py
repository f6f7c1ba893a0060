"""Random numbers that depend on names, never on order: the same for any number of workers, any order, any resume."""

import hashlib
from collections.abc import Iterator

import numpy as np


def keyed_philox(*key: int | str) -> np.random.Philox:
    """Return a Philox counter generator whose 128-bit key is the BLAKE2b digest of `key`."""
    text = "\x1f".join(map(str, key)).encode("utf-8", "surrogateescape")  # ids may be any file name
    digest = hashlib.blake2b(text, digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(digest, "little"))


def uniforms(*key: int | str) -> Iterator[float]:
    """Yield endless float64 draws from [0, 1).

    They are made from the raw 64-bit stream, which NumPy promises never to change (NEP 19);
    it makes no such promise for the distributions of `Generator`.
    """
    stream = keyed_philox(*key)
    while True:
        yield (stream.random_raw() >> 11) * 2.0**-53


def derived_seed(*key: int | str) -> int:
    """Return a 63-bit seed, made from `key`, for generators that take an integer (torch's, say)."""
    return int(keyed_philox(*key).random_raw()) >> 1
