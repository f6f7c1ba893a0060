"""Collection format 1: the names, dtypes and places of what stands in the file. docs/format.md says it in words.

Letters: N rows (images), V views, a grid of h x w locations, D channels: 14 x 14 and 1024 where the spec says no other.

The HDF5 structure never changes once the file is published: rows are written and read with pwrite and preadv at the
offsets of these datasets, so that a kill at any instant cannot tear the file. See DESIGN section 3 for what was tried.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amnet_common.collection.spec import DEFAULT_VIEW_SHAPE, Spec
from amnet_common.datasets.records import SplitList

FORMAT = "amnet-collection"
VERSION = 1
HELD_VERSION = 2  # of links that say which row of which part each of their rows is
VIEW_SHAPE = DEFAULT_VIEW_SHAPE
GRID, CHANNELS = VIEW_SHAPE[0], VIEW_SHAPE[-1]
DTYPES: Mapping[str, np.dtype] = {"float16": np.dtype("<f2"), "uint8": np.dtype("u1")}
PAGE = 4096  # bytes; a float16 view of the default shape is 98 pages, a uint8 view 49
PENDING, DONE, FAILED = 0, 1, 2
ERROR_BYTES = 200
PATH_BYTES = 1024

SEGMENT, FEATURES, IMAGES, VIEWS, CHECKSUMS = "segments/0000", "features", "images", "views", "checksums"
LABELS, SPLITS, SPLIT_SCORES, SCALES, SOURCES = "labels", "splits", "split_scores", "scales", "sources"
HELD = "held"
INTEGRITY = "seal"  # SHA-256 of every byte of the file outside the tables that change

BOX = 5  # top, left, height, width in source pixels after EXIF orientation; flip 0 or 1
SOURCE = np.dtype([("path", f"S{PATH_BYTES}"), ("uuid", "S32")])  # a part of a linked collection
HELD_ROW = np.dtype(
    [
        ("part", "<u4"),  # number of the source that holds the row
        ("row", "<u8"),  # of that part
        ("size", "<u8"),  # bytes, and
        ("mtime_ns", "<i8"),  # time of an image file found to have the same content though not the part's time; or 0
    ]
)


def image_dtype(id_bytes: int) -> np.dtype[np.void]:
    """Return the dtype of one row of `/images`: what the image is (id), what was found (file and pixels), the mark."""
    return np.dtype(
        [
            ("id", f"S{id_bytes}"),
            ("sha256", "u1", (32,)),  # of the image file
            ("size", "<u8"),  # bytes
            ("mtime_ns", "<i8"),
            ("width", "<u4"),  # pixels, after EXIF orientation
            ("height", "<u4"),
            ("clipped", "<u4"),  # values of all its views that were above their channel's range; 0 for float16
            ("kernels", "<u4"),  # CRC-32C of the kernel path that computed it: marks.kernel_checksum; 0 if it failed
            ("status", "u1"),  # the mark: PENDING, DONE or FAILED
            ("error", f"S{ERROR_BYTES}"),  # UTF-8, why it failed
            ("crc32c", "<u4"),  # over the fields above, the row of /checksums and the row of /views
        ]
    )


@dataclass(frozen=True)
class Extent:
    """Hold where a contiguous dataset lies in the file, its shape and its dtype."""

    offset: int  # bytes from the start of the file
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Return the number of bytes of one entry along the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def end(self) -> int:
        """Return the offset in the file of the first byte behind the dataset."""
        return self.offset + self.shape[0] * self.row_bytes

    def at(self, row: int) -> int:
        """Return the byte offset in the file of entry `row`."""
        return self.offset + row * self.row_bytes


@dataclass(frozen=True)
class Planes:
    """Hold the datasets of a file with features of its own, their kernel path and scales."""

    features: Extent  # (N, V, h, w, D)
    views: Extent  # (N, V, 5)
    checksums: Extent  # (N, V)
    kernel_path: Mapping[str, Any]
    scales: np.ndarray | None  # (D,) float32 of a uint8 collection: feature = code * scale


@dataclass(frozen=True)
class Structure:
    """Describe what of a collection never changes; with it the file is read and written without the HDF5 library."""

    spec: Spec
    provenance: Mapping[str, Any]
    image_list: str
    uuid: str
    images: Extent  # (N,) of image_dtype
    labels: np.ndarray  # (N,) float64
    splits: Mapping[str, SplitList]
    planes: Planes | None  # None: a linked collection, whose features lie in its sources
    sources: tuple[tuple[str, str], ...]  # (path relative to the file's folder, uuid) of each
    held: np.ndarray | None  # (N,) of HELD_ROW; None: rows are found in the parts by their ids
    integrity: Extent  # (32,) uint8
    stored_integrity: bytes  # what /seal says: no two files have the same, for it covers the uuid

    @property
    def changing(self) -> tuple[Extent, ...]:
        """Return all that is written after the file is published; the integrity hash covers the rest of the file."""
        if self.planes is None:
            return (self.integrity,)
        return (self.integrity, self.images, self.planes.features, self.planes.views, self.planes.checksums)


def tables(
    rows: int, views: int, id_bytes: int, dtype: str, view_shape: tuple[int, ...] = VIEW_SHAPE
) -> Mapping[str, tuple[tuple[int, ...], np.dtype]]:
    """Return the shape and dtype, by name, of the datasets that every file with features has."""
    return {
        IMAGES: ((rows,), image_dtype(id_bytes)),
        VIEWS: ((rows, views, BOX), np.dtype("<f4")),
        CHECKSUMS: ((rows, views), np.dtype("<u4")),
        SEGMENT: ((rows, views, *view_shape), DTYPES[dtype]),
    }
