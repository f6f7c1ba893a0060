"""Plain arrays for people who want them: features of finished rows as .npy or .npz, and the ids beside them."""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from amnet_common.collection.layout import DONE
from amnet_common.collection.quantise import dequantise
from amnet_common.collection.reader import Collection
from amnet_common.datasets.records import encode_id
from amnet_common.errors import ConfigError, OutputError
from amnet_common.files import publish, temporary_beside

ROWS = 32  # at a time


def exported_rows(collection: Collection) -> np.ndarray:
    """Return the rows that have features, (n,) int64, in order."""
    return np.flatnonzero(collection.status == DONE)


def export(collection: Collection, out: Path, all_views: bool) -> Iterator[int]:
    """Write features as float16 to `out`, whole or not at all; yield how many rows each step has added.

    .npy: (n, h, w, D), or (n, V, h, w, D) with `all_views`; the ids in `out`.ids.txt, one a line.
    .npz: `features` as above, `ids` (n,) bytes, `labels` (n,), `rows` (n,). uint8 codes are turned into features; every
    view is compared with its checksum. The ids alone, as a kill between the two names leaves them, are taken over.

    Raises ConfigError for another ending, OutputError if `out` exists or cannot be written, CollectionError for damaged
    features.
    """
    if out.suffix not in (".npy", ".npz"):
        raise ConfigError(f"--out: expected a name that ends in .npy or .npz, found {out}")
    ids_file = out.with_name(f"{out.name}.ids.txt")
    files = [ids_file, out] if out.suffix == ".npy" else [out]
    if _left_of_a_kill(ids_file, out, collection):
        ids_file.unlink()
    for path in files:
        if os.path.lexists(path):
            raise OutputError(f"--out {path}: expected a new file, found one that exists")
    try:
        with contextlib.ExitStack() as made:
            temporary = {path: made.enter_context(temporary_beside(path)) for path in files}
            if out.suffix == ".npy":
                temporary[ids_file].write_bytes(_id_lines(collection))
                with open(temporary[out], "wb") as file:
                    yield from _write_features(file, collection, all_views)
            else:
                with zipfile.ZipFile(temporary[out], "w", zipfile.ZIP_STORED) as archive:
                    for name, values in _tables(collection).items():
                        with archive.open(f"{name}.npy", "w") as file:
                            np.lib.format.write_array(file, values)
                    with archive.open("features.npy", "w", force_zip64=True) as file:
                        yield from _write_features(file, collection, all_views)
            publish(temporary)
    except OSError as error:
        raise OutputError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def _left_of_a_kill(ids_file: Path, out: Path, collection: Collection) -> bool:
    """Whether the very ids that this export writes stand there alone: it was killed between its two names."""
    if out.suffix != ".npy" or os.path.lexists(out) or ids_file.is_symlink() or not ids_file.is_file():
        return False
    lines = _id_lines(collection)
    return ids_file.stat().st_size == len(lines) and ids_file.read_bytes() == lines


def _tables(collection: Collection) -> dict[str, np.ndarray]:
    rows = exported_rows(collection)
    ids = np.array([encode_id(collection.ids[row]) for row in rows], "S")
    return {"ids": ids, "labels": collection.labels[rows], "rows": rows}


def _write_features(file: IO[bytes], collection: Collection, all_views: bool) -> Iterator[int]:
    """The .npy header, then the rows, a few at a time."""
    rows = exported_rows(collection)
    views = np.arange(collection.views if all_views else 1)
    shape = (len(rows), *((len(views),) if all_views else ()), *collection.view_shape)
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        stored = collection.read(np.repeat(part, len(views)), np.tile(views, len(part)), check=True)
        floats = stored if collection.scales is None else dequantise(stored, collection.scales)
        file.write(floats.astype("<f2").data.cast("B"))
        yield len(part)


def _id_lines(collection: Collection) -> bytes:
    """One id a line; line breaks within an id are written as \\n."""
    ids = (encode_id(collection.ids[row]).replace(b"\n", b"\\n") for row in exported_rows(collection))
    return b"".join(id_ + b"\n" for id_ in ids)
