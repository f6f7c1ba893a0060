"""Whether images have been seen before: by the bytes of their files, whatever they are called and wherever they lie.

A head that is tested on images it was trained on looks better than it is; so does one whose test list holds, under
another name, a file of its training list.
"""

import base64
import binascii

import numpy as np

from amnet_common.collection import Collection
from headtrain.features.splits import Subsets

KEY_BYTES = 8  # of the SHA-256 of an image file: among ten million files no two agree by chance


def content_keys(collection: Collection, rows: np.ndarray) -> np.ndarray:
    """Return the first bytes of the SHA-256 of the image files of `rows`, (n,) int64; 0 where none is known."""
    keys = np.ascontiguousarray(collection.images["sha256"][rows][:, :KEY_BYTES])  # (n, 8) uint8
    return keys.view("<i8").reshape(len(rows))


def known(keys: np.ndarray) -> np.ndarray:
    """Return the keys that are known, each once, in order."""
    return np.unique(keys[keys != 0])


def as_text(keys: np.ndarray) -> str:
    """Write keys as text, eleven characters an image."""
    return base64.b64encode(known(keys).astype("<i8").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """Read what `as_text` wrote. Raises ValueError for another text."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"images trained on: no base64 ({error})") from error
    if len(data) % KEY_BYTES:
        raise ValueError(f"images trained on: expected {KEY_BYTES} bytes an image, found {len(data)} in all")
    return np.frombuffer(data, "<i8")


def repeated(collection: Collection, subsets: Subsets) -> list[tuple[str, str]]:
    """Name the test images whose file is also a training or validation image, with the name it has there."""
    others = np.concatenate([subsets.val.rows, subsets.train.rows])  # the training list has the last word
    others = others[~np.isin(others, subsets.test.rows)]  # which may validate as well
    row_of = dict(zip(content_keys(collection, others).tolist(), others.tolist(), strict=True))
    row_of.pop(0, None)
    keys = content_keys(collection, subsets.test.rows).tolist()
    pairs = ((row, row_of[key]) for row, key in zip(subsets.test.rows.tolist(), keys, strict=True) if key in row_of)
    return [(collection.ids[row], collection.ids[other]) for row, other in pairs]


def repeated_line(collection: Collection, subsets: Subsets) -> str:
    """Describe what `repeated` finds; empty if that is nothing."""
    pairs = repeated(collection, subsets)
    if not pairs:
        return ""
    return (f"note: {len(pairs)} test images are files of the training or validation list under another name, such as "
            f"{pairs[0][0]}, which is {pairs[0][1]}: the result is better than it is")  # fmt: skip
