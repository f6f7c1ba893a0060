"""Tables of which rows are read when they are asked for: to the user arrays, without all their bytes in memory."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from amnet_common.collection.layout import ERROR_BYTES


class RowTable:
    """Give rows by number, as an array does: `table[5]`, `table[2:9]`, `table[[5, 17]]`, `table[rows, 0]`.

    `np.asarray(table)` is all of it. Attributes: `shape`, (N, ...); `dtype`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (n,) int64, each within 0..N-1: (n, ...)."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as an array
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        if isinstance(first, int | np.integer) and not isinstance(first, bool):
            row = int(first) + (len(self) if first < 0 else 0)
            if not 0 <= row < len(self):
                raise IndexError(f"expected a row in 0..{len(self) - 1}, found {first}")
            return self.rows(np.array([row]))[(0, *rest)]
        at = self._numbers(first)
        if at is None:
            return np.asarray(self)[key]
        found = self.rows(at)
        if not rest:
            return found
        return found[(slice(None) if isinstance(first, slice) else np.arange(len(at)), *rest)]

    def _numbers(self, key: Any) -> np.ndarray | None:  # noqa: ANN401
        """The rows that a slice, a list, integers or a mask name, (n,); None for what only a whole array knows."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        if not isinstance(key, list | np.ndarray):
            return None
        array = np.asarray(key)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.shape != (0,)):
            whole = array.dtype.kind == "b" and array.shape == (len(self),)
            return np.flatnonzero(array) if whole else None
        rows = np.where(array < 0, array + len(self), array).astype(np.int64)
        return rows if not len(rows) or 0 <= rows.min() <= rows.max() < len(self) else None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: ANN401
        found = self.rows(np.arange(len(self)))
        return found if dtype is None else found.astype(dtype)

    def tobytes(self) -> bytes:
        """Return the bytes of all rows."""
        return np.asarray(self).tobytes()


class Records(RowTable):
    """Hold what marks say of N images, column by column: `records["size"]` (N,); `records[5]` is a whole record.

    `dtype`: of layout.image_dtype. `columns`: those that are in memory. `errors`: the texts of rows that have one.
    `ids`: reads the column of ids, (N,).
    """

    def __init__(
        self, dtype: np.dtype, count: int, columns: Mapping[str, np.ndarray], errors: Mapping[int, bytes],
        ids: Callable[[], np.ndarray],
    ) -> None:  # fmt: skip
        self.dtype, self.shape = dtype, (count,)
        self._columns, self._said, self._ids = dict(columns), errors, ids

    @property
    def errors(self) -> Mapping[int, bytes]:
        """Return the texts of rows that have one."""
        return self._said

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        return self.column(key) if isinstance(key, str) else super().__getitem__(key)

    def column(self, name: str) -> np.ndarray:
        """Return a field of all rows, (N, ...); it is kept. Raises ValueError for another name."""
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return whole records, (n,) of `dtype`."""
        found = np.zeros(len(rows), self.dtype)
        for name in self.dtype.names or ():
            if name != "error":
                found[name] = self.column(name)[rows]
        if self.errors:
            found["error"] = [self.errors.get(row, b"") for row in rows.tolist()]
        return found

    def _read(self, name: str) -> np.ndarray:
        if name == "id":
            return self._ids()
        if name != "error":
            raise ValueError(f"no field of name {name}")
        found = np.zeros(len(self), f"S{ERROR_BYTES}")
        for row, text in self.errors.items():
            found[row] = text
        return found


class GatheredRecords(Records):
    """Hold records of several tables in an order of their own: row i is row `own[i]` of table `parts[i]`.

    `columns`: those that are not of the tables.
    """

    def __init__(
        self, dtype: np.dtype, tables: Sequence[Records], parts: np.ndarray, own: np.ndarray,
        columns: Mapping[str, np.ndarray], ids: Callable[[], np.ndarray],
    ) -> None:  # fmt: skip
        super().__init__(dtype, len(parts), columns, {}, ids)
        self._tables, self._parts, self._own = tables, parts, own

    @property
    def errors(self) -> Mapping[int, bytes]:
        """Return the texts of rows that have one."""
        return self._found_errors

    @cached_property
    def _found_errors(self) -> Mapping[int, bytes]:
        found: dict[int, bytes] = {}
        for number, table in enumerate(self._tables):
            for row in np.flatnonzero(self._parts == number).tolist() if table.errors else ():
                text = table.errors.get(int(self._own[row]))
                if text:
                    found[row] = text
        return found

    def _read(self, name: str) -> np.ndarray:
        if name in ("id", "error") or name not in (self.dtype.names or ()):
            return super()._read(name)
        return gathered([table.column(name) for table in self._tables], self._parts, self._own)


class GatheredRows(RowTable):
    """Hold rows of several tables in an order of their own, as GatheredRecords; only the first V of their views."""

    def __init__(self, tables: Sequence[RowTable], parts: np.ndarray, own: np.ndarray, views: int) -> None:
        self._tables, self._parts, self._own, self._views = tables, parts, own, views
        self.shape, self.dtype = (len(parts), views, *tables[0].shape[2:]), tables[0].dtype

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return rows, read from the tables that have them."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        parts = self._parts[rows]
        for number in np.unique(parts).tolist():
            mine = np.flatnonzero(parts == number)
            found[mine] = self._tables[number].rows(self._own[rows[mine]])[:, : self._views]
        return found


def gathered(tables: Sequence[np.ndarray], parts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return row `own[i]` of table `parts[i]` for each i: (n, ...)."""
    starts = np.cumsum([0, *map(len, tables[:-1])])
    whole, rows = np.concatenate(tables), starts[parts] + own
    return whole if np.array_equal(rows, np.arange(len(whole))) else whole[rows]
