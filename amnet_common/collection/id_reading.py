"""The ids of a file: taken up block by block while its table is read: their hash, and where wanted their texts."""

import hashlib
from collections.abc import Sequence

import numpy as np

from amnet_common.datasets.records import decode_id, encode_id

LENGTH_BYTES = 4  # before each id


class IdReading:
    """Take up ids in the order of rows. `texts`, `column`: they are wanted as such, and kept."""

    def __init__(self, texts: bool = False, column: bool = False) -> None:
        self._digest, self._keep_texts, self._keep_column = hashlib.sha256(), texts, column
        self.texts: list[str] = []
        self._column: list[np.ndarray] = []

    def take(self, ids: np.ndarray) -> None:
        """Take up the next n ids, (n,) of bytes."""
        ids = np.ascontiguousarray(ids)
        count, most = len(ids), ids.dtype.itemsize
        lengths = np.strings.str_len(ids)
        table = np.empty((count, LENGTH_BYTES + most), np.uint8)
        table[:, :LENGTH_BYTES] = lengths.astype("<u4").view(np.uint8).reshape(count, LENGTH_BYTES)
        table[:, LENGTH_BYTES:] = ids.view(np.uint8).reshape(count, most)
        if count and lengths.min() < most:
            table = table[np.arange(LENGTH_BYTES + most) < LENGTH_BYTES + lengths[:, None]]
        self._digest.update(table.reshape(-1).data)
        if self._keep_texts:
            self.texts += texts_of(ids.tolist())
        if self._keep_column:
            self._column.append(ids)

    def column(self) -> np.ndarray:
        """Return the ids as the bytes that are stored, (n,)."""
        return np.concatenate(self._column)

    def sha256(self) -> str:
        """Return the hash of all ids so far, as `spec.image_list_sha256` computes it."""
        return self._digest.hexdigest()


def encoded(ids: Sequence[str], dtype: np.dtype | str = "S") -> np.ndarray:
    """Return ids as the bytes that are stored, (n,) of `dtype`; "S": as long as the longest."""
    return np.array([encode_id(id_) for id_ in ids], dtype)


def texts_of(ids: list[bytes]) -> list[str]:
    """Decode ids as `decode_id` does, many times faster."""
    found = decode_id(b"\0".join(ids)).split("\0")
    return found if len(found) == len(ids) else [decode_id(id_) for id_ in ids]
