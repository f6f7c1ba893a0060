"""What the HDF5 metadata of a collection says, believed only as far as it is checked.

A collection may come from a stranger. So nothing is followed out of the file (no external or soft links, no external
storage, no virtual dataset), no size is allocated before the file is found long enough for it, texts have bounds,
and tables are read with `preadv` at checked offsets; the HDF5 library only parses metadata.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from amnet_common.collection.layout import (
    CHANNELS,
    CHECKSUMS,
    FORMAT,
    IMAGES,
    INTEGRITY,
    LABELS,
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
from amnet_common.datasets.records import MAX_ID_BYTES, SplitList
from amnet_common.errors import CollectionError
from amnet_common.small_texts import json_object

MAX_TEXT_BYTES = 2**20  # of an attribute; ours have at most some thousand
MEMORY_SHARE = 0.5  # tables that would take more of the machine's memory are not read
HEX = re.compile(r"[0-9a-f]+")


def read_structure(path: Path) -> Structure:
    """Read the structure of the collection at `path`.

    Raises CollectionError if there is no such file, or it is none of this format, is newer, damaged or cut short.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, False for names that no system takes
        raise CollectionError(f"{path}: expected a collection, found no such file")
    try:
        with opened(path) as file:
            check_format(file, str(path))
            reading = _Reading(file, path)
            structure = reading.structure()
        if file_identity(os.stat(path)) != reading.identity:
            raise CollectionError(f"{path}: expected one file, found it replaced while it was read; open it again")
        return structure
    except CollectionError:
        raise
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError) as error:
        raise CollectionError(f"{path}: expected a collection, found a file that HDF5 cannot read ({error})") from error


def opened(path: Path) -> h5py.File:
    """Open a file for reading without HDF5's lock, or, where this process holds it open with one, as that does.

    Raises OSError.
    """
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking" not in str(error):
            raise
        return h5py.File(path, "r")


def check_format(file: h5py.File, where: str) -> None:
    """Check format name and version, before anything else is believed.

    Raises CollectionError for another format or version.
    """
    try:
        name, version = text_attribute(file, "format"), _integer_attribute(file, "format_version")
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise CollectionError(f"{where}: expected a collection ({FORMAT}), found another HDF5 file") from error
    if name != FORMAT:
        raise CollectionError(f"{where}: expected format {FORMAT}, found {name!r}")
    if version != VERSION:
        raise CollectionError(f"{where}: expected format version {VERSION}, found {version}"
                              f"{'; a newer amnet reads it' if version > VERSION else ''}")  # fmt: skip


class _Reading:
    """One pass over an open file."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path = file, path
        found = os.stat(path)
        self.size, self.identity = found.st_size, file_identity(found)
        self.needed = 0  # bytes of memory for the tables so far

    def structure(self) -> Structure:
        """Return the structure of the file, each part of it checked."""
        try:
            structure, fingerprint = self._parts(), text_attribute(self.file, "fingerprint")
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
        file, spec = self.file, Spec.from_json(text_attribute(self.file, "spec"))
        images, integrity = self._images(), self._extent(INTEGRITY, (32,), np.dtype("u1"))
        rows = images.shape[0]
        return Structure(
            spec=spec,
            provenance=json_attribute(file, "provenance"),
            image_list=text_attribute(file, "roster"),
            uuid=_hex(text_attribute(file, "uuid")),
            images=images,
            labels=self._static(LABELS, (rows,), "<f8"),
            splits={name: self._split(name, rows) for name in self._names(SPLITS)},
            planes=None if SOURCES in file else self._planes(images, spec),
            sources=self._sources() if SOURCES in file else (),
            integrity=integrity,
            stored_integrity=read_table(self.path, integrity).tobytes(),
        )

    def _images(self) -> Extent:
        dataset = self._dataset(IMAGES)
        if dataset.ndim != 1 or not dataset.dtype.names:
            raise ValueError(f"/{IMAGES} is no table")
        id_bytes = dataset.dtype["id"].itemsize
        if not dataset.shape[0] or id_bytes > MAX_ID_BYTES:
            raise CollectionError(f"{self.path}: /{IMAGES}: expected at least one row, and ids of at most "
                                  f"{MAX_ID_BYTES} bytes, found {dataset.shape[0]} rows with {id_bytes}")  # fmt: skip
        extent = self._extent(IMAGES, dataset.shape, image_dtype(id_bytes))
        self._refuse_huge(extent)
        return extent

    def _planes(self, images: Extent, spec: Spec) -> Planes:
        views = self._dataset(SEGMENT).shape[1]
        if not views:
            raise ValueError(f"/{SEGMENT} has no views")
        wanted = tables(images.shape[0], views, images.dtype["id"].itemsize, spec.dtype)
        features, boxes, checksums = (self._extent(name, *wanted[name]) for name in (SEGMENT, VIEWS, CHECKSUMS))
        self._refuse_huge(boxes, checksums)
        scales = self._static(SCALES, (CHANNELS,), "<f4") if spec.scales_sha256 else None
        if scales is not None and scales_sha256(scales) != spec.scales_sha256:
            raise CollectionError(f"{self.path}: /{SCALES}: expected sha256 {spec.scales_sha256} of its spec, "
                                  "found other scales")  # fmt: skip
        return Planes(features, boxes, checksums, json_attribute(self._dataset(SEGMENT), "kernel_path"), scales)

    def _split(self, name: str, count: int) -> SplitList:
        length = self._dataset(f"{SPLITS}/{name}").shape[0]
        rows = self._static(f"{SPLITS}/{name}", (length,), "<i8")
        if self._dataset(f"{SPLIT_SCORES}/{name}").shape != rows.shape:
            raise CollectionError(f"{self.path}: /{SPLITS}/{name}: expected a score for each row, found others")
        if length and not 0 <= rows.min() <= rows.max() < count:
            raise CollectionError(f"{self.path}: /{SPLITS}/{name}: expected rows of /images, found others")
        return SplitList(rows, self._static(f"{SPLIT_SCORES}/{name}", (length,), "<f8"))

    def _sources(self) -> tuple[tuple[str, str], ...]:
        table = self._static(SOURCES, self._dataset(SOURCES).shape, SOURCE)
        if table.ndim != 1 or not len(table):
            raise ValueError(f"/{SOURCES} names no part")
        if any(b"\0" in path for path in table["path"].tolist()):
            raise ValueError(f"/{SOURCES} names a path that no system takes")
        return tuple((os.fsdecode(bytes(path)), _hex(bytes(uuid).decode())) for path, uuid in table)

    def _names(self, name: str) -> list[str]:
        if name not in self.file:
            return []
        group = self._hard(self.file, name)
        if not isinstance(group, h5py.Group):  # to iterate over a dataset would read it
            raise ValueError(f"/{name} is no group")
        return sorted(group)

    def _extent(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Extent:
        """The place of a dataset that must have this shape and dtype, be contiguous, and lie within the file."""
        dataset = self._dataset(name)
        if dataset.shape != shape or dataset.dtype != dtype:
            raise CollectionError(f"{self.path}: /{name}: expected {shape} of {dtype}, "
                                  f"found {dataset.shape} of {dataset.dtype}")  # fmt: skip
        offset = dataset.id.get_offset()
        if offset is None and 0 not in shape:
            raise ValueError(f"/{name} has no place within the file")
        extent = Extent(offset or 0, shape, dtype)
        if extent.end > self.size:
            raise CollectionError(f"{self.path}: expected at least {extent.end} bytes for /{name}, found {self.size}: "
                                  "cut short")  # fmt: skip
        return extent

    def _static(self, name: str, shape: tuple[int, ...], dtype: str | np.dtype) -> np.ndarray:
        """A table that is written once, after its SHA-256 is found right."""
        extent = self._extent(name, shape, np.dtype(dtype))
        self._refuse_huge(extent)
        values = read_table(self.path, extent)
        wanted = text_attribute(self._dataset(name), "sha256")
        found = hashlib.sha256(values.tobytes()).hexdigest()
        if wanted != found:
            raise CollectionError(
                f"{self.path}: /{name}: expected sha256 {wanted}, found {found}: the table is damaged"
            )
        return values

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset in one piece within this file; to ask even the shape of another may open further files."""
        item = self.file
        for part in name.split("/"):
            item = self._hard(item, part)
        if not isinstance(item, h5py.Dataset):
            raise ValueError(f"/{name} is no dataset")
        plist = item.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
            raise ValueError(f"/{name} is not contiguous within the file")
        return item

    def _hard(self, group: h5py.Group, name: str) -> h5py.HLObject:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is a link out of the file, or to nowhere")
        return group[name]

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


def text_attribute(item: h5py.HLObject, name: str) -> str:
    """Return a fixed-length string attribute as text.

    Raises ValueError for another kind of attribute, or more than MAX_TEXT_BYTES.
    """
    attribute = item.attrs.get_id(name)
    if attribute.dtype.kind != "S" or attribute.shape != () or attribute.dtype.itemsize > MAX_TEXT_BYTES:
        raise ValueError(f"attribute {name!r} is no text of a fixed length")
    return bytes(item.attrs[name]).decode()


def json_attribute(item: h5py.HLObject, name: str) -> Mapping[str, Any]:
    """Return the JSON object that a fixed-length string attribute holds.

    Raises ValueError if it holds none.
    """
    try:
        return json_object(text_attribute(item, name))
    except ValueError as error:
        raise ValueError(f"attribute {name!r} is no JSON object: {error}") from error


def _integer_attribute(item: h5py.HLObject, name: str) -> int:
    attribute = item.attrs.get_id(name)
    if attribute.dtype.kind not in "iu" or attribute.shape != ():
        raise ValueError(f"attribute {name!r} is no integer")
    return int(item.attrs[name])


def _hex(text: str) -> str:
    if not HEX.fullmatch(text):
        raise ValueError(f"{text!r} is no identifier")
    return text
