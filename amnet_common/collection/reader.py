"""The one reader of collections: rows and views in, arrays out, at the speed of the disk.

The HDF5 library is used once, on opening, for the structure; features are read with `os.preadv` straight into the
caller's buffer, by a few threads. The virtual dataset /features is never opened.
"""

import contextlib
import html
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from amnet_common.collection.id_reading import IdReading, encoded
from amnet_common.collection.layout import DONE, FAILED, Structure
from amnet_common.collection.linking import Chosen, Held, RowsById, choose_parts, chosen_rows, open_parts
from amnet_common.collection.marks import view_checksum
from amnet_common.collection.mirror import mirrored, part_mirrors
from amnet_common.collection.open_files import open_files
from amnet_common.collection.part import Part
from amnet_common.collection.part_file import blocks
from amnet_common.collection.prefetch import P, read_ahead
from amnet_common.collection.quantise import dequantise
from amnet_common.collection.raw import read_exactly, read_rows
from amnet_common.collection.row_tables import GatheredRecords, GatheredRows, gathered
from amnet_common.collection.spec import Spec
from amnet_common.collection.structure import is_another, read_structure
from amnet_common.datasets.records import SplitList, check_ids, encode_id
from amnet_common.errors import BegunAnewError, CollectionError, DatasetError, MissingRowsError
from amnet_common.remote import is_remote

READ_THREADS = 4  # two to four saturate a page cache; more only wait for the same memory
TIMES = 5  # that a collection is opened anew when another command replaces it meanwhile
AHEAD = 1  # batches read beside the one in use; 100 MB each at 256 float16 views


class _Threads(NamedTuple):
    """What one process reads with: threads are not shared with a parent or child (nor are files: open_files.py)."""

    process: int
    pool: ThreadPoolExecutor


class Collection:
    """Read a collection, linked or not.

    `path` may be an address such as s3://bucket/lamem.h5 (mirror.py): then views come from there when they are read.

    Attributes: `path`, `local` (the file on this machine),
    `spec`, `kernel_path`, `provenance`, `ids` (N texts), `labels` (N,) float64 (NaN: none),
    `splits` (SplitList by list name, such as train_1), `status` (N,) uint8, `scales` (D,) float32 or None,
    `parts`, `len(collection)` = N, `views` = V, `view_shape` (h, w, D), `view_bytes` (of one view). Pickles as its
    path; each process opens files and threads of its own, so it may be used after a fork.

    >>> collection = Collection("lamem.h5")
    >>> collection
    Collection('lamem.h5': 40 of 40 images done, 2 views, float16)
    >>> collection.ids[5], f"{collection.labels[5]:.3f}"
    ('05.jpg', '0.824')
    >>> collection.read(rows=[5, 17, 3], views=[0, 1, 1]).shape
    (3, 14, 14, 1024)

    Raises CollectionError if there is no such file, or it is not a whole collection of this format, or a part of a link
    is missing or replaced; SpecError if a part is of another spec.
    """

    joined: tuple["Collection", ...] = ()  # of a JoinedCollection, its collections
    held: np.ndarray | None = None  # (N,) of layout.HELD_ROW; None: rows of a link are found in its parts by id

    def __init__(self, path: str | os.PathLike[str], threads: int = READ_THREADS) -> None:
        self.path, self.threads = Path(path), threads
        self.local, self._mirror = mirrored(self.path) if is_remote(path) else (self.path, None)
        for left in reversed(range(TIMES)):
            try:
                structure = read_structure(self.local)
            except BegunAnewError:
                if not left:
                    raise
                continue
            try:
                self._open(structure)
            except CollectionError:
                if not left or not is_another(self.local, structure):
                    raise
            else:
                break

    def _open(self, structure: Structure) -> None:
        self.linked, self.held = structure.planes is None, structure.held
        self.ids: tuple[str, ...]
        self._held: list[Held] = []  # of each part, where a link finds its rows by their ids
        if self.linked:
            self.parts = self._opened_parts(structure)
        else:
            ids = IdReading(texts=True)
            self.parts = [Part(self.local, structure, ids)]
            self.parts[0].mirror = self._mirror
            self.ids = _safe_ids(ids, self.path)
        self._chosen = None if self.held is None else chosen_rows(self.path, self.held, self.parts)
        first = self.parts[0].planes
        self.uuid, self.image_list = structure.uuid, structure.image_list
        self.spec: Spec = structure.spec
        self.provenance: Mapping[str, Any] = structure.provenance
        self.kernel_path: Mapping[str, Any] = first.kernel_path  # of the first part
        self.scales: np.ndarray | None = first.scales
        self.labels, self.splits = structure.labels, structure.splits
        self.views: int = first.features.shape[1]
        self.view_shape: tuple[int, ...] = first.features.shape[2:]
        self.dtype: np.dtype = first.features.dtype
        self.view_bytes = int(np.prod(self.view_shape)) * self.dtype.itemsize
        self._threads: _Threads | None = None
        self._image_dtype = structure.images.dtype
        self._gather()

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that were opened: one, or those of collections that are joined by their images."""
        return (self.path,)

    @property
    def stem(self) -> str:
        """Return the name of the file without its ending; of joined collections, with + in between."""
        return "+".join(path.stem for path in self.files)

    def reopened(self) -> "Collection":
        """Return the same collection, opened anew, with its own lists."""
        return Collection(self.path, self.threads)

    def refresh(self) -> None:
        """Read the marks again: another process may have filled rows since."""
        for part in self.parts:
            part.refresh()
        self._gather()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        done = int((self.status == DONE).sum())
        parts = f" in {len(self.parts)} parts" if self.linked else ""
        return (f"Collection({str(self.path)!r}: {done} of {len(self)} images done{parts}, {self.views} views, "
                f"{self.dtype})")  # fmt: skip

    def _repr_html_(self) -> str:
        """As notebooks show it."""
        counts = {name: int((self.status == mark).sum()) for name, mark in (("done", DONE), ("failed", FAILED))}
        facts = {
            "file": self.path,
            "images": f"{len(self)}: {counts['done']} done, {counts['failed']} failed",
            "views": f"{self.views}, each {self.view_shape} {self.dtype}",
            "splits": ", ".join(self.splits) or "none",
            "trunk": f"{self.spec.trunk}, {self.spec.variant}, {self.spec.precision}",
        }
        lines = "".join(f"<tr><th>{name}</th><td>{html.escape(str(fact))}</td></tr>" for name, fact in facts.items())
        return f"<table>{lines}</table>"

    def __reduce__(self) -> tuple[Callable[[Path, int, str], "Collection"], tuple[Path, int, str]]:
        path = self.path if is_remote(self.path) else self.path.absolute()
        return _reopen, (path, self.threads, self.uuid)

    def raw_ids(self) -> list[bytes]:
        """Return the ids as the bytes that are stored."""
        return [encode_id(id_) for id_ in self.ids]

    def where(self) -> Chosen:
        """Return the number of the part of each row, (N,) int64, and its row there, (N,) int64, as things stand now."""
        return Chosen(self._part_of, self._row_of)

    def error(self, row: int) -> str:
        """Tell why a failed row failed; return an empty text for other rows."""
        return bytes(self.images[row]["error"]).decode("utf-8", "replace") if self.status[row] == FAILED else ""

    def image_path(self, row: int, root: str | os.PathLike[str] | None = None) -> Path:
        """Return where the image of a row was when its features were made, or where it is now below `root`.

        Without `root` it is a path below the image root of the row's part. The image need not exist. No id leaves its
        root: that was checked on opening. A link that follows a folder remembers the root itself.
        """
        made = self.parts[self._part_of[row]].structure.provenance if self.held is None else self.provenance
        remembered = made.get("image_root", "")
        return Path(root if root is not None else str(remembered)) / self.ids[row]

    def read(
        self, rows: npt.ArrayLike, views: npt.ArrayLike = 0, out: np.ndarray | None = None, check: bool = False
    ) -> np.ndarray:
        """Read the features of view `views[i]` of row `rows[i]`: (n, h, w, D) in the stored dtype.

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
            raise ValueError(f"out: expected C-contiguous {shape} {self.dtype}, found {buffer.shape} {buffer.dtype}")
        self._read_into(buffer, rows, views, check)
        return result

    def read_dequantised(self, rows: npt.ArrayLike, views: npt.ArrayLike = 0, check: bool = False) -> np.ndarray:
        """Read features as `read` does, but as float32 (n, h, w, D), whatever the stored dtype.

        >>> Collection("lamem.h5").read_dequantised([5, 17], check=True).dtype
        dtype('float32')
        """
        return dequantise(self.read(rows, views, check=check), self.scales)

    def batches(self, picks: Iterable[P], ahead: int = AHEAD, check: bool = True) -> Iterator[tuple[P, np.ndarray]]:
        """Yield each of `picks` (anything with `.rows` and `.views`) with its features, while the next ones are read.

        The features stand in buffers that are used again: they stay valid until the next batch is asked for. The
        buffers are pinned where torch has begun to work on a CUDA GPU in this process. Raises as `read`.
        """

        def read(rows: np.ndarray, views: np.ndarray, out: np.ndarray) -> np.ndarray:
            return self.read(rows, views, out, check)

        return read_ahead(read, self._new_buffer, picks, ahead)

    def split(self, name: str) -> SplitList:
        """Return the split list `name` (train_1, say): rows and scores. Raises CollectionError if there is none."""
        if name not in self.splits:
            raise CollectionError(f"{self.path}: expected split list {name!r}, found {sorted(self.splits) or 'none'}")
        return self.splits[name]

    def _opened_parts(self, structure: Structure) -> list[Part]:
        """The parts of a link, whose own ids come first: those of parts are looked up at once, and not kept."""
        ids = IdReading(texts=True, column=self.held is None)
        _read_ids(self.local, structure, ids)
        self.ids = _safe_ids(ids, self.path)
        mirrors = part_mirrors(self.path, self.local, structure) if is_remote(self.path) else {}
        self._held = []
        if self.held is not None:
            parts = open_parts(self.local, structure)
        else:
            find = RowsById(self.ids, ids.column())
            parts = open_parts(self.local, structure, lambda column: self._held.append(find.held_by(column)))
        for number, mirror in mirrors.items():
            parts[number].mirror = mirror
        return parts

    def _gather(self) -> None:
        """The tables of the parts in the order of this collection's rows."""
        if not self.linked:
            part = self.parts[0]
            self.images, self.boxes, self.checksums = part.images, part.boxes, part.checksums
            self.status, self.damaged = part.status, part.damaged
            self._part_of, self._row_of = np.zeros(len(self), np.int64), np.arange(len(self))
            return
        # (N,), (N,) in that part
        where = self._part_of, self._row_of = self._chosen or choose_parts(self.ids, self._held, self.parts)
        ids = partial(encoded, self.ids, self._image_dtype["id"])  # a part may have another for a row of `/held`
        self.images = GatheredRecords(self._image_dtype, [part.images for part in self.parts], *where, {}, ids)
        self.boxes = GatheredRows([part.boxes for part in self.parts], *where, self.views)
        self.checksums = gathered([part.checksums for part in self.parts], *where)
        self.status = gathered([part.status for part in self.parts], *where)
        damaged = gathered([_mask(len(part.status), part.damaged) for part in self.parts], *where)
        self.damaged = np.flatnonzero(damaged)  # row numbers whose mark does not hold

    def _refuse_unreadable(self, rows: np.ndarray, views: np.ndarray) -> None:
        for name, values, end in (("row", rows, len(self)), ("view", views, self.views)):
            wrong = values[(values < 0) | (values >= end)]
            if len(wrong):
                raise IndexError(f"{self.path}: expected a {name} in 0..{end - 1}, found {wrong[0]}")
        missing = rows[self.status[rows] != DONE]
        if len(missing):
            row = int(missing[0])
            found = f"failed ({self.error(row)})" if self.status[row] == FAILED else "pending"
            raise MissingRowsError(f"{self.path}: expected features of row {row} ({self.ids[row]}), found it {found}")

    def _read_into(self, buffer: np.ndarray, rows: np.ndarray, views: np.ndarray, check: bool) -> None:
        starts = np.array([part.planes.features.offset for part in self.parts])
        part_of = self._part_of[rows]  # (n,)
        offsets = (starts[part_of] + (self._row_of[rows] * self.views + views) * self.view_bytes).tolist()
        planes = buffer.view(np.uint8).reshape(len(rows), self.view_bytes)
        numbers = part_of.tolist()

        def read_some(some: range) -> None:
            for part, those in groupby(some, numbers.__getitem__):
                with open_files.using(self.parts[part]) as file:
                    for i in those:
                        read_exactly(file, planes[i].data, offsets[i], self.path)
                        if check:
                            self._compare_checksum(planes[i], int(rows[i]), int(views[i]))

        count = min(self.threads, len(rows))
        with contextlib.ExitStack() as here:
            for number in np.unique(part_of).tolist():
                if mirror := self.parts[number].mirror:
                    mine = part_of == number
                    here.enter_context(mirror.holding(self._row_of[rows[mine]] * self.views + views[mine]))
            list(self._pool().map(read_some, [range(k, len(rows), count) for k in range(count)]))

    def _compare_checksum(self, plane: np.ndarray, row: int, view: int) -> None:
        wanted, found = int(self.checksums[row, view]), view_checksum(plane)
        if wanted != found:
            raise CollectionError(f"{self.path}: row {row} ({self.ids[row]}) view {view}: expected checksum "
                                  f"{wanted:#010x}, found {found:#010x}: the features are damaged; amnet-cache verify "
                                  "--repair marks such rows, and the same amnet-extract fills them again")  # fmt: skip

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None or self._threads.process != os.getpid():
            self._threads = _Threads(os.getpid(), ThreadPoolExecutor(self.threads, thread_name_prefix="collection"))
        return self._threads.pool

    def _new_buffer(self, count: int) -> np.ndarray:
        shape = (count, *self.view_shape)
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():  # nobody here computes on a GPU: none is opened
            return np.empty(shape, self.dtype)
        return torch.empty(shape, dtype=getattr(torch, self.dtype.name), pin_memory=True).numpy()


def _reopen(path: Path, threads: int, uuid: str) -> Collection:
    """What unpickling does. CollectionError if another collection has taken the name."""
    collection = Collection(path, threads)
    if collection.uuid != uuid:
        raise CollectionError(f"{path}: expected the collection {uuid} that was pickled, found {collection.uuid}")
    return collection


def _read_ids(path: Path, structure: Structure, ids: IdReading) -> None:
    """Take up the ids of a link. CollectionError if they are others than those of its image list."""
    extent = structure.images
    with open(path, "rb", buffering=0) as file:
        for rows in blocks(extent.shape[0], extent):
            ids.take(read_rows(file.fileno(), extent, rows, path)["id"])
    if ids.sha256() != structure.image_list:
        raise CollectionError(f"{path}: expected ids of the image list {structure.image_list}, found others: "
                              "/images is damaged")  # fmt: skip


def _safe_ids(read: IdReading, path: Path) -> tuple[str, ...]:
    """The ids as texts. CollectionError if one names a file outside the image root, or stands there twice."""
    ids = tuple(read.texts)
    try:
        check_ids(ids, f"{path}: /images")
    except DatasetError as error:
        raise CollectionError(str(error)) from error
    if _twice(ids):
        raise CollectionError(f"{path}: /images: expected each id once, found one twice")
    return ids


def _twice(ids: tuple[str, ...]) -> bool:
    """Whether an id stands there twice; a set of millions would take more memory than all else."""
    if all(map(operator.lt, ids, islice(ids, 1, None))):  # as a sorted folder has them
        return False
    hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
    hashes.sort()
    return bool((hashes[1:] == hashes[:-1]).any()) and len(set(ids)) < len(ids)


def _mask(count: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def _integers(name: str, values: npt.ArrayLike) -> np.ndarray:
    """As int64; a mask or floats would silently read other rows."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise IndexError(f"{name}: expected integers, found {array.dtype}")
    return array.astype(np.int64)
