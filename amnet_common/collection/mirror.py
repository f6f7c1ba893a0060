"""Collections in an object store: a sparse copy on this machine, which gets each view when it is first read.

Everything but the features, that is structure, names, marks and checksums, is copied when a collection is opened; a
view is one range of bytes, and a batch asks for all its ranges at once. What was read stays in the copy, up to
AMNET_CACHE_GB, and the oldest goes first. The copy stands for one version of an object: another one begins it anew.
"""

import contextlib
import fcntl
import hashlib
import itertools
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amnet_common.collection.holes import punch
from amnet_common.collection.layout import SEGMENT, SOURCES, Structure
from amnet_common.errors import CollectionError
from amnet_common.files import temporary_beside, write_text
from amnet_common.hdf5.apart import facts_apart
from amnet_common.hdf5.facts import Question, as_dtype
from amnet_common.remote import Facts, object_facts, ranges_of, reason, url_of

CHUNK = 2**23  # bytes of a request while tables are copied
AT_ONCE = 16  # such requests
USUAL_GB = 20.0  # of features that are kept
HERE, GONE = b"\1", b"\0"


def cache_folder() -> Path:
    """Return where copies lie: $AMNET_CACHE, or amnet in the user's cache."""
    usual = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("AMNET_CACHE") or Path(usual) / "amnet")


def most_bytes() -> int:
    """Return how many bytes of features a copy keeps: $AMNET_CACHE_GB. Raises CollectionError for what is no number."""
    text = os.environ.get("AMNET_CACHE_GB") or str(USUAL_GB)
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError) as error:
        raise CollectionError(f"AMNET_CACHE_GB: expected a number, found {text!r}") from error


class Mirror:
    """Hold the copy of one file of a store: which views of it are here, and how others come.

    Views go from the copy only while no other process reads it. Whoever has opened it goes on with its own version,
    also when another one has taken its name.
    """

    def __init__(self, url: str, path: Path, start: int, view_bytes: int, views: int) -> None:
        self.url, self.path, self.start, self.view_bytes = url, path, start, view_bytes
        self._lock = threading.Lock()
        with contextlib.ExitStack() as undo:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            undo.callback(os.close, self._file)
            self._marks = os.open(known_views(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            undo.callback(os.close, self._marks)
            fcntl.flock(self._marks, fcntl.LOCK_SH)
            if os.fstat(self._marks).st_size < views:
                os.truncate(self._marks, views)
            self._here = np.frombuffer(os.pread(self._marks, views, 0), np.uint8) == 1  # (N V,)
            undo.pop_all()
        self._here = self._here.copy()
        self._order: deque[int] = deque(np.flatnonzero(self._here).tolist())
        weakref.finalize(self, _close, self._file, self._marks)

    @contextlib.contextmanager
    def holding(self, views: np.ndarray) -> Iterator[None]:
        """Keep views, by their numbers in the order of the file, in the copy while it lasts; those that are not come
        from the store. Raises CollectionError if it does not give them.
        """
        with self._lock:
            wanted = np.unique(views[~self._here[views]])
            if len(wanted):
                self._fetch(wanted)
                self._drop_oldest({*views.tolist()})
            yield

    def _fetch(self, wanted: np.ndarray) -> None:
        starts = (self.start + wanted * self.view_bytes).tolist()
        try:
            found = ranges_of(self.url, starts, [start + self.view_bytes for start in starts])
        except OSError as error:
            raise CollectionError(f"{self.url}: cannot be read: {reason(error)}") from error
        for start, data in zip(starts, found, strict=True):
            if len(data) != self.view_bytes:
                raise CollectionError(f"{self.url}: expected {self.view_bytes} bytes at {start}, found {len(data)}")
            _write_all(self._file, data, start)
        os.fdatasync(self._file)  # or a power cut could leave a mark without its bytes
        for view in wanted.tolist():
            os.pwrite(self._marks, HERE, view)
        self._here[wanted] = True
        self._order.extend(wanted.tolist())

    def _drop_oldest(self, kept: set[int]) -> None:
        """Keep within the bound, but for views that are wanted now."""
        most = max(1, most_bytes() // self.view_bytes)
        if len(self._order) <= most or not self._alone():
            return
        old = [view for view in itertools.islice(self._order, len(self._order) - most) if view not in kept]
        for view in old:
            os.pwrite(self._marks, GONE, view)
        for view in old:
            punch(self._file, self.start + view * self.view_bytes, self.view_bytes)
        self._here[old] = False
        gone = {*old}
        self._order = deque(view for view in self._order if view not in gone)
        fcntl.flock(self._marks, fcntl.LOCK_SH)

    def _alone(self) -> bool:
        try:
            fcntl.flock(self._marks, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


def known_views(path: Path) -> Path:
    """Name the file that says, a byte a view, which views of a copy are here."""
    return path.with_name(f".{path.name}.views")


def version_file(path: Path) -> Path:
    """Name the file that says which version of an object a copy is of."""
    return path.with_name(f".{path.name}.version")


def mirrored(url: Path | str, path: Path | None = None) -> tuple[Path, Mirror | None]:
    """Return the copy of a file of a store, begun if it is not there or of another version; None: all of it is here.

    `path`: where it is to be; None: in the cache. Raises CollectionError if the store does not give it, or it is no
    collection.
    """
    address = url_of(url)
    folder, _, name = address.rpartition("/")
    path = path or cache_folder() / hashlib.sha256(folder.encode()).hexdigest()[:16] / name
    try:
        now = object_facts(address)
        begun = _begun(path, now)
        segment = segment_of(address) if begun is None else begun.segment
    except FileNotFoundError as error:
        raise CollectionError(f"{address}: expected a collection, found no such file") from error
    except OSError as error:
        raise CollectionError(f"{address}: cannot be read: {reason(error)}") from error
    if begun is None:
        _copy_tables(address, path, now, segment)
    return path, Mirror(address, path, *segment) if segment else None


def part_mirrors(url: Path, local: Path, structure: Structure) -> dict[int, Mirror]:
    """Begin the copies of the parts of a link, which must lie below its folder; return what brings the views of each.

    Raises CollectionError as `mirrored`, and for a part elsewhere.
    """
    found = {}
    above = url_of(url).rpartition("/")[0]
    for number, (name, _) in enumerate(structure.sources):
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise CollectionError(f"{url_of(url)}: expected parts below its folder, found {name}")
        _, mirror = mirrored(f"{above}/{name}", local.parent / name)
        if mirror:
            found[number] = mirror
    return found


def settle(path: Path, now: Facts) -> None:
    """Make a file that has just become an object a copy of it: its features are in the store, and their room is free.

    Raises CollectionError, OSError.
    """
    segment = segment_of(str(path))
    _write_version(path, now, segment)
    if segment:
        with open(path, "r+b", buffering=0) as file:
            punch(file.fileno(), segment.start, segment.view_bytes * segment.views)


def is_copy(path: Path, now: Facts | None = None) -> bool:
    """Tell whether a file is a copy of an object; `now`: of this version of it."""
    return path.is_file() and version_file(path).is_file() and (now is None or _begun(path, now) is not None)


def forget(path: Path) -> None:
    """Remove a file, and what makes it a copy. Raises OSError."""
    for one in (path, version_file(path), known_views(path)):
        one.unlink(missing_ok=True)


def forget_strays(folder: Path) -> None:
    """Remove what says that files are copies which are not there, as a command that was killed may leave it."""
    for version in folder.glob(".*.version"):
        path = folder / version.name[1:].removesuffix(".version")
        if not path.exists():
            forget(path)


class Segment(NamedTuple):
    """Say where the features of a file lie."""

    start: int  # first byte
    view_bytes: int
    views: int  # of all images


class _Begun(NamedTuple):
    """A copy that is there; `segment` None: of a link, which has no features."""

    segment: Segment | None


def _begun(path: Path, now: Facts) -> _Begun | None:
    """What the copy of this version of an object says of itself; None if there is none."""
    try:
        version, _, segment = version_file(path).read_text().partition("\n")
        if not path.is_file() or version != f"{now.size} {now.mtime_ns}":
            return None
        return _Begun(Segment(*map(int, segment.split())) if segment else None)
    except (OSError, ValueError, TypeError):
        return None


def segment_of(url: str) -> Segment | None:
    """Return where the features of a file lie, of this machine or of a store; None: it is a link.

    Raises CollectionError if it is no collection.
    """
    answer = facts_apart(Question(url, (), {SEGMENT: (), SOURCES: ()}, {}, 0))
    if "unreadable" in answer:
        raise CollectionError(f"{url}: expected a collection, found a file that HDF5 cannot read "
                              f"({answer['unreadable']})")  # fmt: skip
    found = answer["datasets"].get(SEGMENT)
    if found is None:
        return None
    if "wrong" in found or found["offset"] is None or not found["shape"] or len(found["shape"]) < 3:
        raise CollectionError(f"{url}: expected a whole collection, found a damaged one")
    images, views, *grid = found["shape"]
    return Segment(int(found["offset"]), math.prod(grid) * as_dtype(found["dtype"]).itemsize, images * views)


def _copy_tables(url: str, path: Path, now: Facts, segment: Segment | None) -> None:
    """Make the copy of a file without its features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start, end = (segment.start, segment.start + segment.view_bytes * segment.views) if segment else (0, 0)
    if end > now.size:
        raise CollectionError(f"{url}: expected at least {end} bytes, found {now.size}: cut short")
    with temporary_beside(path) as temporary, open(temporary, "r+b", buffering=0) as file:
        file.truncate(now.size)
        pieces = [*_pieces(0, start), *_pieces(end, now.size)]
        for first in range(0, len(pieces), AT_ONCE):
            some = pieces[first : first + AT_ONCE]
            try:
                found = ranges_of(url, [one for one, _ in some], [one for _, one in some])
            except OSError as error:
                raise CollectionError(f"{url}: cannot be read: {reason(error)}") from error
            for (at, _), data in zip(some, found, strict=True):
                _write_all(file.fileno(), data, at)
        os.fsync(file.fileno())
        forget(path)
        _write_version(path, now, segment)  # first: the copy alone would pass for a whole file
        os.replace(temporary, path)


def _write_version(path: Path, now: Facts, segment: Segment | None) -> None:
    write_text(version_file(path), f"{now.size} {now.mtime_ns}\n{' '.join(map(str, segment or ()))}")


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, CHUNK):
        yield at, min(at + CHUNK, end)


def _write_all(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count
