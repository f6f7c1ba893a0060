"""The making of an empty collection: every dataset at its final size, published whole or not at all."""

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from amnet_common.collection.integrity import integrity_sha256
from amnet_common.collection.layout import (
    FEATURES,
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
    image_dtype,
    tables,
)
from amnet_common.collection.spec import Spec, canonical_json, image_list_sha256
from amnet_common.collection.structure import read_structure
from amnet_common.datasets.records import Dataset, encode_id
from amnet_common.errors import ExistsError, OutputError
from amnet_common.files import publish, replace_by, temporary_beside
from amnet_common.hdf5.facts import facts

LIBVER = ("v110", "v110")  # metadata with checksums


def create_skeleton(
    path: Path,
    dataset: Dataset,
    views: int,
    spec: Spec,
    kernel_path: Mapping[str, Any],
    provenance: Mapping[str, Any],
    scales: np.ndarray | None = None,
    replace: bool = False,
) -> str:
    """Publish an empty collection at `path`, whole or not at all; return its uuid.

    `scales` (D,) float32 belong to dtype uint8.

    Raises OutputError if the folder cannot be written, ExistsError if `path` exists and `replace` is not given.
    """
    ids = [encode_id(id_) for id_ in dataset.ids]
    sizes = tables(len(ids), views, max(map(len, ids)), spec.dtype, spec.shape)

    identity = uuid.uuid4().hex

    def fill(file: h5py.File) -> None:
        _fill_common(file, dataset, ids, spec, provenance, identity)
        for name, (shape, dtype) in sizes.items():
            if name != IMAGES:
                _contiguous(file, name, shape, dtype)
        file[SEGMENT].attrs["kernel_path"] = fixed(canonical_json(kernel_path))
        if scales is not None:
            _static(file, SCALES, np.asarray(scales, "<f4"))
        shape, dtype = sizes[SEGMENT]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(".", SEGMENT, shape, dtype)
        file.create_virtual_dataset(FEATURES, layout, fillvalue=np.nan if dtype.kind == "f" else 0)

    changing = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in sizes.values())
    _publish_file(path, fill, _static_bytes(dataset), changing, replace)
    return identity


def create_link(
    path: Path,
    dataset: Dataset,
    spec: Spec,
    sources: Sequence[tuple[str, str]],
    provenance: Mapping[str, Any],
    held: np.ndarray | None = None,
    replace: bool = False,
) -> None:
    """Publish a linked collection at `path`, whole or not at all: ids, scores, splits, and where the features lie.

    `sources`: (path relative to the folder of `path`, uuid) of each part. `held` (N,) of layout.HELD_ROW: which row of
    which part each row is; None: the parts are asked for the ids. `replace`: an older file is thrown away. Raises
    OutputError as `create_skeleton`.
    """
    ids = [encode_id(id_) for id_ in dataset.ids]
    table = np.array([(os.fsencode(name), uuid_.encode()) for name, uuid_ in sources], SOURCE)

    def fill(file: h5py.File) -> None:
        _fill_common(file, dataset, ids, spec, provenance, uuid.uuid4().hex)
        _static(file, SOURCES, table)
        if held is not None:
            _static(file, HELD, np.asarray(held, HELD_ROW))
            file.attrs["format_version"] = HELD_VERSION

    more = 0 if held is None else held.nbytes
    _publish_file(path, fill, _static_bytes(dataset) + table.nbytes + more, 0, replace)


def fixed(text: str) -> np.bytes_:
    """Return a text as a fixed-length string attribute.

    Single flipped bits in variable-length ones can crash the HDF5 library.
    """
    return np.bytes_(text.encode())


def _static_bytes(dataset: Dataset) -> int:
    """About how many bytes a skeleton writes, ids included; HDF5's own structure is far below the last term."""
    rows, id_bytes = len(dataset.ids), max(len(encode_id(id_)) for id_ in dataset.ids)
    listed = sum(len(split.rows) for split in dataset.splits.values())
    return rows * (image_dtype(id_bytes).itemsize + 8) + 16 * listed + 2**20


def _fill_common(
    file: h5py.File, dataset: Dataset, ids: list[bytes], spec: Spec, provenance: Mapping[str, Any], identity: str
) -> None:
    """What every collection has, linked or not."""
    images = np.zeros(len(ids), image_dtype(max(map(len, ids))))
    images["id"] = ids
    file.attrs.update({"format": fixed(FORMAT), "format_version": VERSION, "uuid": fixed(identity)})
    file.attrs.update({"spec": fixed(spec.to_json()), "fingerprint": fixed(spec.fingerprint)})
    file.attrs.update({"roster": fixed(image_list_sha256(ids)), "provenance": fixed(canonical_json(provenance))})
    _contiguous(file, IMAGES, images.shape, images.dtype)[...] = images
    _static(file, LABELS, np.asarray(dataset.labels, "<f8"))
    for name, split in dataset.splits.items():
        _static(file, f"{SPLITS}/{name}", np.asarray(split.rows, "<i8"))
        _static(file, f"{SPLIT_SCORES}/{name}", np.asarray(split.scores, "<f8"))
    _contiguous(file, INTEGRITY, (32,), np.dtype("u1"))


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


def _publish_file(path: Path, fill: Callable[[h5py.File], None], written: int, changing: int, replace: bool) -> None:
    """Make a temporary file with `fill`, write its integrity hash, and give it its name."""
    try:
        with temporary_beside(path) as temporary:
            _require_room(temporary, written, changing)
            with h5py.File(
                temporary, "w", libver=LIBVER, alignment_threshold=PAGE, alignment_interval=PAGE, track_order=False,
                locking=False,  # nobody else knows the name, and network file systems may have no locks
            ) as file:  # fmt: skip
                fill(file)
            _write_integrity(temporary)
            if replace:
                replace_by(temporary, path)
            else:
                publish({path: temporary})
    except FileExistsError as error:
        raise ExistsError(f"--out {path}: expected to create a collection there, found: it exists already") from error
    except (OSError, RuntimeError) as error:  # HDF5 raises RuntimeError when it cannot flush
        reason = getattr(error, "strerror", "") or error
        raise OutputError(f"--out {path}: expected to create a collection there, found: {reason}") from error


def _require_room(path: Path, written: int, changing: int) -> None:
    """Write into `path` as many bytes as the skeleton will and reach as far; OSError if that cannot be done.

    On a full disk the HDF5 library does not return an error but may crash, and leave its file behind.
    """
    with open(path, "wb") as file:
        file.write(bytes(written))
        os.fsync(file.fileno())
        file.truncate(written + changing)


def _write_integrity(path: Path) -> None:
    structure = read_structure(path, facts)  # in this process, which has just made the file
    digest = integrity_sha256(path, structure)
    with open(path, "r+b") as file:
        file.seek(structure.integrity.offset)
        file.write(digest)
