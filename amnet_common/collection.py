"""The one reader of collections: rows and views in, arrays out, at the speed of the disk.

The HDF5 library is used once, on opening, for the structure and the static tables; features are read with
`os.preadv` straight into the caller's buffer, by a few threads. The virtual dataset /features is never opened.
"""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from amnet_common.datasets.records import SplitList, decode_id
from amnet_common.errors import CollectionError, MissingRowsError
from amnet_common.layout import (
    DONE,
    FAILED,
    LABELS,
    PENDING,
    SPLIT_SCORES,
    SPLITS,
    Extent,
    Structure,
    read_structure,
    static_table,
)
from amnet_common.marks import row_checksum, view_checksum
from amnet_common.spec import Spec, roster_sha256

READ_THREADS = 4  # two to four saturate a page cache; more only wait for the same memory


class Collection:
    """A collection opened for reading.

    Attributes: `path`, `spec`, `kernel_path`, `provenance`, `ids` (N texts), `labels` (N,) float64 (NaN: none),
    `splits` (SplitList by list name, such as train_1), `status` (N,) uint8, `len(collection)` = N, `views` = V.
    Pickles as its path; each process opens files and threads of its own, so it may be used after a fork.

    Raises CollectionError if there is no such file, or it is not a whole collection of this format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = READ_THREADS) -> None:
        self.path, self.threads = Path(path), threads
        structure, self.labels, self.splits = _open_checked(self.path)
        self._structure = structure
        self.spec: Spec = structure.spec
        self.kernel_path: Mapping[str, Any] = structure.kernel_path
        self.provenance: Mapping[str, Any] = structure.provenance
        self.roster: str = structure.roster
        self.views: int = structure.features.shape[1]
        self.view_shape: tuple[int, ...] = structure.features.shape[2:]
        self.dtype: np.dtype = structure.features.dtype
        self._view_bytes = int(np.prod(self.view_shape)) * self.dtype.itemsize
        self._owner, self._file = -1, -1
        self._pool: ThreadPoolExecutor | None = None
        self.refresh()
        raw_ids = [bytes(id_) for id_ in self.images["id"]]
        self.ids: tuple[str, ...] = tuple(map(decode_id, raw_ids))
        if roster_sha256(raw_ids) != structure.roster:
            raise CollectionError(f"{path}: wanted ids of roster {structure.roster}, found others: /images is damaged")

    def refresh(self) -> None:
        """Read the marks again: another process may have filled rows since."""
        s = self._structure
        self.images: np.ndarray = self._table(s.images)  # (N,) of layout.image_dtype
        self.boxes: np.ndarray = self._table(s.views)  # (N, V, 5) float32: top, left, height, width, flip
        self.checksums: np.ndarray = self._table(s.checksums)  # (N, V) uint32
        self.damaged: np.ndarray = self._damaged_rows()  # row numbers whose mark does not match its checksum
        self.status: np.ndarray = self.images["status"].copy()  # (N,) uint8
        self.status[self.damaged] = PENDING

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        done = int((self.status == DONE).sum())
        return f"Collection({str(self.path)!r}: {done} of {len(self)} images done, {self.views} views, {self.dtype})"

    def __reduce__(self) -> tuple[type["Collection"], tuple[Path, int]]:
        return Collection, (self.path, self.threads)

    def error(self, row: int) -> str:
        """Why a failed row failed; empty for others."""
        return bytes(self.images["error"][row]).decode("utf-8", "replace") if self.status[row] == FAILED else ""

    def read(
        self, rows: npt.ArrayLike, views: npt.ArrayLike = 0, out: np.ndarray | None = None, check: bool = False
    ) -> np.ndarray:
        """Features of view `views[i]` of row `rows[i]`: (n, 14, 14, 1024) in the stored dtype.

        `rows` (n,) integers; `views` (n,) integers or one for all. `out`: a C-contiguous array, or a torch tensor
        with `.numpy()`, of that shape and dtype to read into; it is returned. `check`: compare with the checksums.

        Raises MissingRowsError for a pending or failed row, IndexError for a row or view that does not exist,
        CollectionError for a damaged or shortened file.
        """
        rows = np.atleast_1d(_integers("rows", rows))
        views = np.broadcast_to(_integers("views", views), rows.shape)
        self._refuse_unreadable(rows, views)
        shape = (len(rows), *self.view_shape)
        result = np.empty(shape, self.dtype) if out is None else out
        buffer = result if isinstance(result, np.ndarray) else result.numpy()
        if buffer.shape != shape or buffer.dtype != self.dtype or not buffer.flags.c_contiguous:
            raise ValueError(f"out: wanted C-contiguous {shape} {self.dtype}, found {buffer.shape} {buffer.dtype}")
        self._read_into(buffer, rows, views)
        if check:
            self._compare_checksums(buffer, rows, views)
        return result

    def read_dequantised(self, rows: npt.ArrayLike, views: npt.ArrayLike = 0) -> np.ndarray:
        """As `read`, as float32 (n, 14, 14, 1024), whatever the stored dtype."""
        return self.read(rows, views).astype(np.float32)

    def split(self, name: str) -> SplitList:
        """The list `name` (train_1, say): row numbers and scores. Raises CollectionError if there is none."""
        if name not in self.splits:
            raise CollectionError(f"{self.path}: wanted split list {name!r}, found {sorted(self.splits) or 'none'}")
        return self.splits[name]

    def _refuse_unreadable(self, rows: np.ndarray, views: np.ndarray) -> None:
        for name, values, end in (("row", rows, len(self)), ("view", views, self.views)):
            wrong = values[(values < 0) | (values >= end)]
            if len(wrong):
                raise IndexError(f"{self.path}: wanted a {name} in 0..{end - 1}, found {wrong[0]}")
        missing = rows[self.status[rows] != DONE]
        if len(missing):
            row = int(missing[0])
            found = f"failed ({self.error(row)})" if self.status[row] == FAILED else "pending"
            raise MissingRowsError(f"{self.path}: wanted features of row {row} ({self.ids[row]}), found it {found}")

    def _read_into(self, buffer: np.ndarray, rows: np.ndarray, views: np.ndarray) -> None:
        offsets = (self._structure.features.offset + (rows * self.views + views) * self._view_bytes).tolist()
        planes = buffer.view(np.uint8).reshape(len(rows), self._view_bytes)
        file, pool = self._handles()

        def read_part(part: range) -> None:
            for i in part:
                _read_exactly(file, planes[i].data, offsets[i], self.path)

        parts = min(self.threads, len(rows))
        list(pool.map(read_part, [range(k, len(rows), parts) for k in range(parts)]))

    def _compare_checksums(self, buffer: np.ndarray, rows: np.ndarray, views: np.ndarray) -> None:
        for features, row, view in zip(buffer, rows, views, strict=True):
            wanted, found = int(self.checksums[row, view]), view_checksum(features)
            if wanted != found:
                raise CollectionError(f"{self.path}: row {row} ({self.ids[row]}) view {view}: wanted checksum "
                                      f"{wanted:#010x}, found {found:#010x}: the features are damaged")  # fmt: skip

    def _handles(self) -> tuple[int, ThreadPoolExecutor]:
        """This process's file descriptor and threads: neither may be shared with a parent or child."""
        if self._pool is None or self._owner != os.getpid():
            self._owner, self._file = os.getpid(), os.open(self.path, os.O_RDONLY)
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="collection")
        return self._file, self._pool

    def _table(self, extent: Extent) -> np.ndarray:
        values = np.empty(extent.shape, extent.dtype)
        with open(self.path, "rb", buffering=0) as file:
            _read_exactly(file.fileno(), values.reshape(-1).view(np.uint8).data, extent.offset, self.path)
        return values

    def _damaged_rows(self) -> np.ndarray:
        """Rows with a mark that is no known status, or whose checksum does not match."""
        marked = np.flatnonzero((self.images["status"] != PENDING) | (self.images["crc32c"] != 0))
        wrong = [row for row in marked.tolist() if not self._mark_holds(row)]
        return np.array(wrong, dtype=np.int64)

    def _mark_holds(self, row: int) -> bool:
        image = self.images[row]
        known = image["status"] in (DONE, FAILED)
        return bool(known and image["crc32c"] == row_checksum(image, self.checksums[row], self.boxes[row]))


def _integers(name: str, values: npt.ArrayLike) -> np.ndarray:
    """As int64; a mask or floats would silently read other rows."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise IndexError(f"{name}: wanted integers, found {array.dtype}")
    return array.astype(np.int64)


def _read_exactly(file: int, buffer: memoryview, offset: int, path: Path) -> None:
    while len(buffer):
        count = os.preadv(file, [buffer], offset)
        if count == 0:
            raise CollectionError(f"{path}: wanted {len(buffer)} more bytes at {offset}, found the end of the file")
        buffer, offset = buffer[count:], offset + count


def _open_checked(path: Path) -> tuple[Structure, np.ndarray, dict[str, SplitList]]:
    """Structure and static tables, with everything that h5py may raise on a strange file turned into one error."""
    if not os.path.isfile(path):  # unlike Path.is_file, False for names that no system takes
        raise CollectionError(f"{path}: wanted a collection, found no such file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            structure = read_structure(file, str(path))
            labels = static_table(file, LABELS, str(path))
            return structure, labels, dict(_splits(file, structure, str(path)))
    except CollectionError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise CollectionError(f"{path}: wanted a collection, found a file that HDF5 cannot read ({error})") from error


def _splits(file: h5py.File, structure: Structure, where: str) -> Iterable[tuple[str, SplitList]]:
    for name in sorted(file.get(SPLITS, ())):
        rows = static_table(file, f"{SPLITS}/{name}", where)
        scores = static_table(file, f"{SPLIT_SCORES}/{name}", where)
        if rows.shape != scores.shape or (len(rows) and not 0 <= rows.min() <= rows.max() < structure.images.shape[0]):
            raise CollectionError(f"{where}: /{SPLITS}/{name}: wanted rows of /images with a score each, found others")
        yield name, SplitList(rows, scores)
