"""What the HDF5 metadata of a collection says, believed only as far as it is checked.

A collection may come from a stranger. So the HDF5 library only parses metadata, in a process of its own that may die
of it (`amnet_common.hdf5`); no size is allocated before the file is found long enough for it, texts have bounds, and
tables are read with `preadv` at checked offsets.
"""

import contextlib
import errno
import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.layout import (
    CHECKSUMS,
    FORMAT,
    HELD,
    HELD_ROW,
    HELD_VERSION,
    IMAGES,
    INTEGRITY,
    LABELS,
    PAGE,
    SCALES,
    SEGMENT,
    SOURCE,
    SOURCES,
    SPLIT_SCORES,
    SPLITS,
    VERSION,
    VIEWS,
    Extent,
    Planes,
    Structure,
    image_dtype,
    tables,
)
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.raw import file_identity, read_table
from amnet_common.collection.spec import Spec
from amnet_common.datasets.records import MAX_ID_BYTES, MOST_LISTS, SplitList
from amnet_common.errors import BegunAnewError, CollectionError
from amnet_common.hdf5.apart import NoChildError, facts_apart
from amnet_common.hdf5.facts import Question, as_dtype
from amnet_common.small_texts import json_object

ROOT_ATTRIBUTES = ("format", "format_version", "uuid", "spec", "fingerprint", "roster", "provenance")
DATASETS: Mapping[str, Sequence[str]] = {IMAGES: (), INTEGRITY: (), LABELS: ("sha256",), SCALES: ("sha256",),
            SOURCES: ("sha256",), HELD: ("sha256",), SEGMENT: ("kernel_path",), VIEWS: (), CHECKSUMS: ()}  # fmt: skip
LISTS: Mapping[str, Sequence[str]] = {SPLITS: ("sha256",), SPLIT_SCORES: ("sha256",)}
MOST_PARTS = 100_000  # of a link
MEMORY_SHARE = 0.5  # tables that would take more of the machine's memory are not read
NO_FILES = (errno.EMFILE, errno.ENFILE)
HEX = re.compile(r"[0-9a-f]+")
Facts = Mapping[str, Any]
Ask = Callable[[Question], Facts]


def read_structure(path: Path, ask: Ask = facts_apart) -> Structure:
    """Read the structure of the collection at `path`; `ask`: what asks the HDF5 library.

    Raises CollectionError if there is no such file, or it is none of this format, is newer, damaged or cut short;
    OSError if too many files are open, or no process can be started.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, False for names that no system takes
        raise CollectionError(f"{path}: expected a collection, found no such file")
    found: os.stat_result | None = None
    try:
        found = os.stat(path)
        answer = ask(Question(os.path.abspath(path), ROOT_ATTRIBUTES, DATASETS, LISTS, MOST_LISTS))
        if "unreadable" in answer:
            raise ValueError(answer["unreadable"])
        check_format(answer["attributes"], str(path), linked_by_row=HELD in answer["datasets"])
        structure = _Reading(answer, path, found.st_size).structure()
        _refuse_replaced(path, found)
        return structure
    except BegunAnewError:
        raise
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError) as error:
        _refuse_replaced(path, found)  # what was read may be of two files
        if isinstance(error, CollectionError):
            raise
        if isinstance(error, NoChildError) or (isinstance(error, OSError) and error.errno in NO_FILES):
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
        raise CollectionError(f"{path}: expected a collection, found a file that HDF5 cannot read ({error})") from error


def _refuse_replaced(path: Path, found: os.stat_result | None) -> None:
    """Raise BegunAnewError if a name stands for another file than it did."""
    with contextlib.suppress(OSError):
        if found is not None and file_identity(os.stat(path)) != file_identity(found):
            raise BegunAnewError(f"{path}: expected one file, found it replaced while it was read; open it again")


def is_another(path: Path, structure: Structure) -> bool:
    """Tell whether a name stands for another file than the one of this structure by now."""
    integrity = structure.integrity
    try:
        with open(path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), 32, integrity.offset) != structure.stored_integrity
    except OSError:
        return False


def check_format(attributes: Facts, where: str, linked_by_row: bool = False) -> None:
    """Check format name and version, before anything else is believed.

    `linked_by_row`: the file says which row of which part each of its rows is, which version 2 alone does.

    Raises CollectionError for another format or version.
    """
    try:
        name, version = _text(attributes, "format"), _integer(attributes, "format_version")
    except ValueError as error:
        raise CollectionError(f"{where}: expected a collection ({FORMAT}), found another HDF5 file") from error
    if name != FORMAT:
        raise CollectionError(f"{where}: expected format {FORMAT}, found {name!r}")
    wanted = HELD_VERSION if linked_by_row else VERSION
    if version != wanted:
        raise CollectionError(f"{where}: expected format version {wanted}, found {version}"
                              f"{'; a newer amnet reads it' if version > wanted else ''}")  # fmt: skip


class _Reading:
    """One pass over what the HDF5 library said of a file of so many bytes."""

    def __init__(self, answer: Facts, path: Path, size: int) -> None:
        self.attributes, self.datasets, self.groups = answer["attributes"], answer["datasets"], answer["groups"]
        self.path, self.size = path, size
        self.needed = 0  # bytes of memory for the tables so far

    def structure(self) -> Structure:
        """Return the structure of the file, each part of it checked."""
        try:
            structure, fingerprint = self._parts(), _text(self.attributes, "fingerprint")
        except (LookupError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, CollectionError):
                raise
            raise CollectionError(f"{self.path}: expected a whole collection, found a damaged one ({error})") from error
        if fingerprint != structure.spec.fingerprint:
            raise CollectionError(f"{self.path}: expected fingerprint {structure.spec.fingerprint} of its spec, "
                                  f"found {fingerprint}")  # fmt: skip
        self._refuse_overlaps(structure)
        return structure

    def _parts(self) -> Structure:
        root, spec = self.attributes, Spec.from_json(_text(self.attributes, "spec"))
        images, integrity = self._images(), self._extent(INTEGRITY, (32,), np.dtype("u1"))
        rows, linked = images.shape[0], SOURCES in self.datasets
        return Structure(
            spec=spec,
            provenance=_json(root, "provenance"),
            image_list=_text(root, "roster"),
            uuid=_hex(_text(root, "uuid")),
            images=images,
            labels=self._static(LABELS, (rows,), "<f8"),
            splits={name: self._split(name, rows) for name in self._lists()},
            planes=None if linked else self._planes(images, spec),
            sources=self._sources() if linked else (),
            held=self._held(rows) if linked and HELD in self.datasets else None,
            integrity=integrity,
            stored_integrity=read_table(self.path, integrity).tobytes(),
        )

    def _images(self) -> Extent:
        shape, dtype = self._kind(IMAGES)
        if len(shape) != 1 or not dtype.names:
            raise ValueError(f"/{IMAGES} is no table")
        id_bytes = dtype["id"].itemsize
        if not shape[0] or id_bytes > MAX_ID_BYTES:
            raise CollectionError(f"{self.path}: /{IMAGES}: expected at least one row, and ids of at most "
                                  f"{MAX_ID_BYTES} bytes, found {shape[0]} rows with {id_bytes}")  # fmt: skip
        extent = self._extent(IMAGES, shape, image_dtype(id_bytes))
        self._refuse_huge(extent)
        refuse_hole(self.path, extent)
        return extent

    def _planes(self, images: Extent, spec: Spec) -> Planes:
        views = self._kind(SEGMENT)[0][1]
        if not views:
            raise ValueError(f"/{SEGMENT} has no views")
        wanted = tables(images.shape[0], views, images.dtype["id"].itemsize, spec.dtype, spec.shape)
        features, boxes, checksums = (self._extent(name, *wanted[name]) for name in (SEGMENT, VIEWS, CHECKSUMS))
        self._refuse_huge(boxes, checksums)
        scales = self._static(SCALES, spec.shape[-1:], "<f4") if spec.scales_sha256 else None
        if scales is not None and scales_sha256(scales) != spec.scales_sha256:
            raise CollectionError(f"{self.path}: /{SCALES}: expected sha256 {spec.scales_sha256} of its spec, "
                                  "found other scales")  # fmt: skip
        return Planes(features, boxes, checksums, _json(self._dataset(SEGMENT)["attributes"], "kernel_path"), scales)

    def _split(self, name: str, count: int) -> SplitList:
        shape, _ = self._kind(f"{SPLITS}/{name}")
        if shape[0] > count:
            raise CollectionError(f"{self.path}: /{SPLITS}/{name}: expected each image at most once, found {shape[0]} "
                                  f"rows of {count} images")  # fmt: skip
        rows = self._static(f"{SPLITS}/{name}", shape[:1], "<i8")
        if self._kind(f"{SPLIT_SCORES}/{name}")[0] != rows.shape:
            raise CollectionError(f"{self.path}: /{SPLITS}/{name}: expected a score for each row, found others")
        if len(rows) and not 0 <= rows.min() <= rows.max() < count:
            raise CollectionError(f"{self.path}: /{SPLITS}/{name}: expected rows of /images, found others")
        return SplitList(rows, self._static(f"{SPLIT_SCORES}/{name}", rows.shape, "<f8"))

    def _sources(self) -> tuple[tuple[str, str], ...]:
        table = self._static(SOURCES, self._kind(SOURCES)[0], SOURCE, MOST_PARTS)
        if table.ndim != 1 or not len(table):
            raise ValueError(f"/{SOURCES} names no part")
        if any(b"\0" in path for path in table["path"].tolist()):
            raise ValueError(f"/{SOURCES} names a path that no system takes")
        return tuple((os.fsdecode(bytes(path)), _hex(bytes(uuid).decode())) for path, uuid in table)

    def _held(self, rows: int) -> np.ndarray:
        held = self._static(HELD, (rows,), HELD_ROW)
        sources = self._kind(SOURCES)[0][0]
        if held["part"].max() >= sources:
            raise ValueError(f"/{HELD} names part {held['part'].max()} of {sources}")
        return held

    def _lists(self) -> list[str]:
        """The names of the split lists, each of which has scores."""
        lists, scored = self._names(SPLITS), self._names(SPLIT_SCORES)
        if lists != scored:
            raise ValueError(f"/{SPLITS} has {len(lists)} lists, /{SPLIT_SCORES} others")
        return lists

    def _names(self, name: str) -> list[str]:
        names = self.groups[name]
        if not isinstance(names, list):
            raise ValueError(names["wrong"])
        return names

    def _extent(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Extent:
        """The place of a dataset that must have this shape and dtype, and lie within the file."""
        found_shape, found_dtype = self._kind(name)
        if found_shape != shape or found_dtype != dtype:
            raise CollectionError(f"{self.path}: /{name}: expected {shape} of {dtype}, "
                                  f"found {found_shape} of {found_dtype}")  # fmt: skip
        offset = self._dataset(name)["offset"]
        if offset is None and 0 not in shape:
            raise ValueError(f"/{name} has no place within the file")
        extent = Extent(offset or 0, shape, dtype)
        if extent.end > self.size:
            raise CollectionError(f"{self.path}: expected at least {extent.end} bytes for /{name}, found {self.size}: "
                                  "cut short")  # fmt: skip
        return extent

    def _static(self, name: str, shape: tuple[int, ...], dtype: str | np.dtype, most: float = math.inf) -> np.ndarray:
        """A table of at most so many rows that is written once, after its SHA-256 is found right."""
        extent = self._extent(name, shape, np.dtype(dtype))
        self._refuse_huge(extent)
        if math.prod(shape) > most:
            raise CollectionError(f"{self.path}: /{name}: expected at most {most} rows, found {math.prod(shape)}")
        values = read_table(self.path, extent)
        wanted = _text(self._dataset(name)["attributes"], "sha256")
        found = hashlib.sha256(values.tobytes()).hexdigest()
        if wanted != found:
            raise CollectionError(
                f"{self.path}: /{name}: expected sha256 {wanted}, found {found}: the table is damaged"
            )
        return values

    def _kind(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """The shape and dtype of a dataset."""
        found = self._dataset(name)
        if found["shape"] is None:
            raise ValueError(f"/{name} is empty")
        return tuple(found["shape"]), as_dtype(found["dtype"])

    def _dataset(self, name: str) -> Facts:
        found = self.datasets.get(name, {"wrong": f"there is no /{name}"})
        if "wrong" in found:
            raise ValueError(found["wrong"])
        return found

    def _refuse_huge(self, *extents: Extent) -> None:
        """A sparse file can claim any size. Counts these tables and those before."""
        self.needed += sum(extent.end - extent.offset for extent in extents)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if self.needed > MEMORY_SHARE * memory:
            raise CollectionError(f"{self.path}: expected tables that fit into {MEMORY_SHARE:.0%} of the memory "
                                  f"({memory / 1e9:.1f} GB), found {self.needed / 1e9:.1f} GB of them")  # fmt: skip

    def _refuse_overlaps(self, structure: Structure) -> None:
        extents = sorted(structure.changing, key=lambda extent: extent.offset)
        for a, b in pairwise(extents):
            if a.end > b.offset:
                raise CollectionError(
                    f"{self.path}: expected tables side by side, found two that overlap at {b.offset}"
                )


def refuse_hole(path: Path, images: Extent) -> None:
    """Raise CollectionError if /images was never written: a sparse file claims any number of rows for nothing.

    Each page of a true one holds the beginning of an id.
    """
    with open(path, "rb", buffering=0) as file:
        try:
            hole = os.lseek(file.fileno(), images.offset, os.SEEK_HOLE)
        except OSError:  # no such question on this file system
            return
    if hole + PAGE <= images.end:
        raise CollectionError(f"{path}: /{IMAGES}: expected {images.shape[0]} rows, found a hole at {hole}")


def _text(attributes: Facts, name: str) -> str:
    """A fixed-length string attribute. Raises ValueError for another kind, and for bytes that are no UTF-8."""
    found = attributes.get(name, {"wrong": f"there is no attribute {name!r}"})
    if isinstance(found, int):
        raise ValueError(f"attribute {name!r} is no text of a fixed length")
    if not isinstance(found, str):
        raise ValueError(found["wrong"])
    return found.encode("utf-8", "surrogateescape").decode()


def _json(attributes: Facts, name: str) -> Mapping[str, Any]:
    """The JSON object that a fixed-length string attribute holds. Raises ValueError."""
    try:
        return json_object(_text(attributes, name))
    except ValueError as error:
        raise ValueError(f"attribute {name!r} is no JSON object: {error}") from error


def _integer(attributes: Facts, name: str) -> int:
    found = attributes.get(name)
    if not isinstance(found, int):
        raise ValueError(f"attribute {name!r} is no integer")
    return found


def _hex(text: str) -> str:
    if not HEX.fullmatch(text):
        raise ValueError(f"{text!r} is no identifier")
    return text
