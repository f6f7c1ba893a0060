"""Collection format 1: names, dtypes and byte offsets, and the making of an empty one (the skeleton).

Letters: N rows (images), V views, L = 14 x 14 places, D = 1024 channels.

The skeleton has every dataset at its final size. After it is published the HDF5 structure is never touched again:
rows are written and read with pwrite and preadv at the offsets found here, so that a kill at any instant cannot tear
the file. See DESIGN section 3 for what was tried.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from amnet_common.datasets.records import Dataset, encode_id
from amnet_common.errors import CollectionError, OutputError
from amnet_common.spec import Spec, canonical_json, roster_sha256

FORMAT = "amnet-collection"
VERSION = 1
GRID, CHANNELS = 14, 1024
VIEW_SHAPE = (GRID, GRID, CHANNELS)
DTYPES = {"float16": np.dtype("<f2")}
PAGE = 4096  # bytes; one float16 view is 98 pages
PENDING, DONE, FAILED = 0, 1, 2
ERROR_BYTES = 200
LIBVER = ("v110", "v110")  # metadata with checksums

SEGMENT, FEATURES, IMAGES, VIEWS, CHECKSUMS = "segments/0000", "features", "images", "views", "checksums"
LABELS, SPLITS, SPLIT_SCORES = "labels", "splits", "split_scores"

BOX = np.dtype(("<f4", (5,)))  # top, left, height, width in source pixels after EXIF orientation; flip 0 or 1


def image_dtype(id_bytes: int) -> np.dtype[np.void]:
    """One row of `/images`: what the image is (id), what was found (file and pixels) and the mark."""
    return np.dtype(
        [
            ("id", f"S{id_bytes}"),
            ("sha256", "u1", (32,)),  # of the image file
            ("size", "<u8"),  # bytes
            ("mtime_ns", "<i8"),
            ("width", "<u4"),  # pixels, after EXIF orientation
            ("height", "<u4"),
            ("status", "u1"),  # the mark: PENDING, DONE or FAILED
            ("error", f"S{ERROR_BYTES}"),  # UTF-8, why it failed
            ("crc32c", "<u4"),  # over the fields above, the row of /checksums and the row of /views
        ]
    )


@dataclass(frozen=True)
class Extent:
    """Where a contiguous dataset lies in the file."""

    offset: int  # bytes from the start of the file
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        return int(self.dtype.itemsize * np.prod(self.shape[1:], dtype=np.int64))

    @property
    def end(self) -> int:
        """The first byte behind the dataset."""
        return self.offset + self.shape[0] * self.row_bytes

    def at(self, row: int) -> int:
        """Byte offset of entry `row`."""
        return self.offset + row * self.row_bytes


@dataclass(frozen=True)
class Structure:
    """What the HDF5 metadata of a collection says; enough to read and write it without the HDF5 library."""

    spec: Spec
    kernel_path: Mapping[str, Any]
    provenance: Mapping[str, Any]
    roster: str
    uuid: str
    features: Extent  # (N, V, 14, 14, 1024)
    images: Extent  # (N,) of image_dtype
    views: Extent  # (N, V, 5)
    checksums: Extent  # (N, V)


def fixed(text: str) -> np.bytes_:
    """A fixed-length string attribute: single flipped bits in variable-length ones can crash the HDF5 library."""
    return np.bytes_(text.encode())


def create_skeleton(
    path: Path, dataset: Dataset, views: int, spec: Spec, kernel_path: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Publish an empty collection at `path`, whole or not at all.

    Raises OutputError if the folder cannot be written or `path` exists.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        _require_room(temporary, dataset, views, DTYPES[spec.dtype])
        with h5py.File(
            temporary, "w", libver=LIBVER, alignment_threshold=PAGE, alignment_interval=PAGE, track_order=False
        ) as file:
            _fill_skeleton(file, dataset, views, spec, kernel_path, provenance)
        publish(temporary, path)
    except (OSError, RuntimeError) as error:  # HDF5 raises RuntimeError when it cannot flush
        reason = "it exists already" if isinstance(error, FileExistsError) else getattr(error, "strerror", "") or error
        raise OutputError(f"--out {path}: wanted to create a collection there, found: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _require_room(path: Path, dataset: Dataset, views: int, dtype: np.dtype) -> None:
    """Create `path`, write as many bytes as the skeleton will and reach as far; OSError if that cannot be done.

    On a full disk the HDF5 library does not return an error but may crash, and leave its file behind.
    """
    rows = len(dataset.ids)
    image = image_dtype(max(len(encode_id(id_)) for id_ in dataset.ids))
    written = rows * (image.itemsize + 8) + 16 * sum(len(split.rows) for split in dataset.splits.values()) + 2**20
    with open(path, "xb") as file:
        file.write(bytes(written))
        os.fsync(file.fileno())
        file.truncate(written + rows * views * (int(np.prod(VIEW_SHAPE)) * dtype.itemsize + 24))


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its final name; FileExistsError if that name is taken. Both survive a power cut."""
    sync_path(temporary)
    os.link(temporary, path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """fsync a file or a folder by name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill_skeleton(
    file: h5py.File,
    dataset: Dataset,
    views: int,
    spec: Spec,
    kernel_path: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    ids = [encode_id(id_) for id_ in dataset.ids]
    count = len(ids)
    images = np.zeros(count, image_dtype(max(map(len, ids))))
    images["id"] = ids
    file.attrs.update({"format": fixed(FORMAT), "format_version": VERSION, "uuid": fixed(uuid.uuid4().hex)})
    file.attrs.update({"spec": fixed(spec.to_json()), "fingerprint": fixed(spec.fingerprint)})
    file.attrs.update({"roster": fixed(roster_sha256(ids)), "provenance": fixed(canonical_json(provenance))})
    _contiguous(file, IMAGES, images.shape, images.dtype)[...] = images
    _contiguous(file, VIEWS, (count, views, 5), BOX.base)
    _contiguous(file, CHECKSUMS, (count, views), np.dtype("<u4"))
    _static(file, LABELS, np.asarray(dataset.labels, "<f8"))
    for name, split in dataset.splits.items():
        _static(file, f"{SPLITS}/{name}", np.asarray(split.rows, "<i8"))
        _static(file, f"{SPLIT_SCORES}/{name}", np.asarray(split.scores, "<f8"))
    shape, dtype = (count, views, *VIEW_SHAPE), DTYPES[spec.dtype]
    segment = _contiguous(file, SEGMENT, shape, dtype)
    segment.attrs["kernel_path"] = fixed(canonical_json(kernel_path))
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(".", SEGMENT, shape, dtype)
    file.create_virtual_dataset(FEATURES, layout, fillvalue=np.nan)


def _contiguous(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
    """A dataset whose bytes have their final place at once: contiguous, early allocation, never filled."""
    group = file.require_group(os.path.dirname(name) or "/")
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, os.path.basename(name).encode(), kind, space, creation))


def _static(file: h5py.File, name: str, values: np.ndarray) -> None:
    """A table that is written once, with the SHA-256 of its bytes."""
    dataset = _contiguous(file, name, values.shape, values.dtype)
    dataset[...] = values
    dataset.attrs["sha256"] = fixed(hashlib.sha256(values.tobytes()).hexdigest())


def read_structure(file: h5py.File, where: str) -> Structure:
    """The structure of an open collection. Raises CollectionError if it is none, is newer, or is cut short."""
    check_format(file, where)
    try:
        spec = Spec.from_json(text_attribute(file, "spec"))
        structure = Structure(
            spec=spec,
            kernel_path=json_attribute(file[SEGMENT], "kernel_path"),
            provenance=json_attribute(file, "provenance"),
            roster=text_attribute(file, "roster"),
            uuid=text_attribute(file, "uuid"),
            features=_extent(file, SEGMENT),
            images=_extent(file, IMAGES),
            views=_extent(file, VIEWS),
            checksums=_extent(file, CHECKSUMS),
        )
        fingerprint = text_attribute(file, "fingerprint")
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CollectionError(f"{where}: wanted a whole collection, found a damaged one ({error})") from error
    _check_extents(structure, os.path.getsize(where), where)
    if fingerprint != spec.fingerprint:
        raise CollectionError(f"{where}: wanted fingerprint {spec.fingerprint} of its spec, found {fingerprint}")
    return structure


def check_format(file: h5py.File, where: str) -> None:
    """Format name and version, checked before anything else is believed."""
    try:
        name, version = text_attribute(file, "format"), int(file.attrs["format_version"])
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise CollectionError(f"{where}: wanted a collection ({FORMAT}), found another HDF5 file") from error
    if name != FORMAT:
        raise CollectionError(f"{where}: wanted format {FORMAT}, found {name!r}")
    if version != VERSION:
        raise CollectionError(f"{where}: wanted format version {VERSION}, found {version}; a newer amnet reads it")


def _check_extents(structure: Structure, size: int, where: str) -> None:
    extents = {FEATURES: structure.features, IMAGES: structure.images, VIEWS: structure.views}
    extents[CHECKSUMS] = structure.checksums
    n, v = structure.features.shape[:2]
    dtype = DTYPES.get(structure.spec.dtype)
    shapes = {FEATURES: (n, v, *VIEW_SHAPE), IMAGES: (n,), VIEWS: (n, v, 5), CHECKSUMS: (n, v)}
    kinds = {FEATURES: dtype, IMAGES: structure.images.dtype, VIEWS: BOX.base, CHECKSUMS: np.dtype("<u4")}
    for name, extent in extents.items():
        if extent.shape != shapes[name] or extent.dtype != kinds[name]:
            raise CollectionError(f"{where}: /{name}: wanted {shapes[name]} of {kinds[name]}, "
                                  f"found {extent.shape} of {extent.dtype}")  # fmt: skip
        if extent.end > size:
            raise CollectionError(f"{where}: wanted at least {extent.end} bytes for /{name}, found {size}: cut short")


def _extent(file: h5py.File, name: str) -> Extent:
    dataset = file[name]
    offset = dataset.id.get_offset()
    if offset is None or dataset.ndim == 0:
        raise ValueError(f"/{name} is not contiguous")
    dtype = dataset.dtype
    if name == IMAGES:
        dtype = image_dtype(dtype["id"].itemsize)
        if dataset.dtype != dtype:
            raise ValueError(f"/{name}: wanted {dtype}, found {dataset.dtype}")
    return Extent(offset, dataset.shape, dtype)


def text_attribute(item: h5py.HLObject, name: str) -> str:
    """A fixed-length string attribute as text."""
    return bytes(item.attrs[name]).decode()


def json_attribute(item: h5py.HLObject, name: str) -> Mapping[str, Any]:
    """A fixed-length string attribute as the JSON object it holds."""
    return json.loads(text_attribute(item, name))


def static_table(file: h5py.File, name: str, where: str) -> np.ndarray:
    """A static table, after its SHA-256 is found right. Raises CollectionError otherwise."""
    values = file[name][...]
    wanted, found = text_attribute(file[name], "sha256"), hashlib.sha256(values.tobytes()).hexdigest()
    if wanted != found:
        raise CollectionError(f"{where}: /{name}: wanted sha256 {wanted}, found {found}: the table is damaged")
    return values
