"""How fast random views are read: this reader against a bare preadv loop and against what people write today.

    python benchmarks/reading.py [--images N] [--folder FOLDER]

First with the page cache warm, batches of 256 random views, the ways taking turns; every way ends with a
(256, 14, 14, 1024) float16 batch in memory. Then with the file out of the page cache, all views in order, against bare
reads of 401,408 bytes one after the other. Prints GB/s (median over the rounds) and ratios of the same run.
"""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import click
import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from amnet_common import datasets
from amnet_common.collection import Collection
from amnet_common.collection.layout import SEGMENT, VIEW_SHAPE
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter

BATCH, BATCHES, ROUNDS, VIEWS = 256, 8, 7, 4
SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"augs": VIEWS - 1}, 0, "float32", "float16")


class ChunkedViews(Dataset):
    """One view at a time from a chunked HDF5 file, opened in the worker, as most published loaders do it."""

    def __init__(self, path: Path, picks: np.ndarray) -> None:
        self.path, self.picks, self.file = path, picks, None

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, i: int) -> torch.Tensor:
        self.file = self.file or h5py.File(self.path, "r")
        row, view = self.picks[i]
        return torch.from_numpy(self.file["features"][row, view])


@click.command()
@click.option("--images", default=500, show_default=True, help="Of 4 views, 1.6 MB an image.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files are made.  [default: a temporary one]")
def main(images: int, folder: Path | None) -> None:
    """Measure and print."""
    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        ours, chunked = work / "collection.h5", work / "chunked.h5"
        make_files(ours, chunked, images)
        draw = np.random.default_rng(0)
        picks = np.stack([draw.integers(0, images, BATCH * BATCHES), draw.integers(0, VIEWS, BATCH * BATCHES)], 1)
        report(dict(ways(ours, chunked, picks)))
        report_cold(ours, images)
    finally:
        shutil.rmtree(work)


def make_files(ours: Path, chunked: Path, images: int) -> None:
    """The same random features as a collection and as a chunked dataset."""
    ids = tuple(f"{i}.jpg" for i in range(images))
    create_skeleton(ours, datasets.Dataset("bench", ours.parent, ids), VIEWS, SPEC, {}, {})
    with RowWriter(ours) as writer, h5py.File(chunked, "w") as file:
        shape = (images, VIEWS, *VIEW_SHAPE)
        features = file.create_dataset("features", shape, "<f2", chunks=(1, 1, *VIEW_SHAPE))
        for row in range(images):
            x = np.random.default_rng(row).random((VIEWS, *VIEW_SHAPE), np.float32).astype(np.float16)
            features[row] = x
            for view in range(VIEWS):
                writer.write_view(row, view, x[view])
            writer.finish(row, ImageFacts(), np.zeros((VIEWS, 5)))


def ways(ours: Path, chunked: Path, picks: np.ndarray) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and one round of each way of reading all picks, batch by batch. Files, threads and workers are kept."""
    parts = np.split(picks, BATCHES)
    buffer = np.empty((BATCH, *VIEW_SHAPE), np.float16)
    with h5py.File(ours, "r") as file:
        start = file[SEGMENT].id.get_offset()
    descriptor = os.open(ours, os.O_RDONLY)
    for threads in (1, 2, 4):
        collection, pool = Collection(ours, threads), ThreadPoolExecutor(threads)
        yield f"Collection.read, {threads} threads", partial(our_reader, collection, parts, buffer)
        yield f"bare preadv, {threads} threads", partial(bare_preadv, descriptor, start, pool, threads, parts, buffer)
    yield "h5py into the buffer, same file", partial(h5py_direct, ours, parts, buffer)
    yield "h5py a view at a time, chunked", partial(h5py_single, chunked, parts)
    workers = DataLoader(ChunkedViews(chunked, picks), BATCH, num_workers=2, persistent_workers=True)
    yield "DataLoader, 2 workers, chunked", partial(data_loader, workers)


def our_reader(collection: Collection, parts: list[np.ndarray], buffer: np.ndarray) -> None:
    """The project's reader into one buffer."""
    for part in parts:
        collection.read(part[:, 0], part[:, 1], buffer)


def bare_preadv(
    file: int, start: int, pool: ThreadPoolExecutor, threads: int, parts: list[np.ndarray], buffer: np.ndarray
) -> None:
    """No checks at all: offsets, threads and one buffer."""
    size, planes = buffer[0].nbytes, buffer.view(np.uint8).reshape(BATCH, -1)
    for part in parts:
        offsets = (start + (part[:, 0] * VIEWS + part[:, 1]) * size).tolist()

        def read(k: int, offsets: list[int] = offsets) -> None:
            for i in range(k, BATCH, threads):
                os.preadv(file, [planes[i]], offsets[i])

        list(pool.map(read, range(threads)))


def h5py_direct(path: Path, parts: list[np.ndarray], buffer: np.ndarray) -> None:
    """The best h5py way: read_direct from the contiguous dataset into one buffer."""
    with h5py.File(path, "r") as file:
        dataset = file[SEGMENT]
        for part in parts:
            for i, (row, view) in enumerate(part):
                dataset.read_direct(buffer, np.s_[row, view], np.s_[i])


def h5py_single(path: Path, parts: list[np.ndarray]) -> None:
    """Index by index, then stacked."""
    with h5py.File(path, "r") as file:
        dataset = file["features"]
        for part in parts:
            np.stack([dataset[row, view] for row, view in part])


def data_loader(loader: DataLoader) -> None:
    """PyTorch's loader with its two workers, which stay alive between the rounds."""
    for batch in loader:
        assert len(batch) == BATCH


def report(ways: dict[str, Callable[[], None]]) -> None:
    """Time all ways in turn and print the table."""
    size = BATCH * BATCHES * int(np.prod(VIEW_SHAPE)) * 2
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn:  # the first round warms the page cache
                rates[name].append(size / (time.perf_counter() - started) / 1e9)
    middle = {name: median(values) for name, values in rates.items()}
    print(f"{platform.machine()}, {os.cpu_count()} cores, h5py {h5py.__version__}, torch {torch.__version__}, "
          f"{time.strftime('%Y-%m-%d')}\n")  # fmt: skip
    print("| way | GB/s | lowest to highest |\n|---|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {middle[name]:.2f} | {min(values):.2f} to {max(values):.2f} |")
    print("\n| ratio | |\n|---|---|")
    best = max((name for name in middle if name.startswith("Collection")), key=middle.__getitem__)
    for threads in (1, 2, 4):
        ratio = middle[f"Collection.read, {threads} threads"] / middle[f"bare preadv, {threads} threads"]
        print(f"| Collection.read / bare preadv, {threads} threads | {ratio:.2f} |")
    for name in list(middle)[-3:]:
        print(f"| {best} / {name} | {middle[best] / middle[name]:.1f} |")


def report_cold(ours: Path, images: int) -> None:
    """Read every view in order from the disk, by this reader and barely."""
    collection = Collection(ours)
    picks = np.stack(np.divmod(np.arange(images * VIEWS), VIEWS), 1)
    buffer = np.empty((BATCH, *VIEW_SHAPE), np.float16)
    with h5py.File(ours, "r") as file:
        start = file[SEGMENT].id.get_offset()

    def by_collection() -> None:
        for first in range(0, len(picks), BATCH):
            part = picks[first : first + BATCH]
            collection.read(part[:, 0], part[:, 1], buffer[: len(part)])

    def barely() -> None:
        plane, size = buffer[0].view(np.uint8).reshape(-1), buffer[0].nbytes
        descriptor = os.open(ours, os.O_RDONLY)
        for view in range(len(picks)):
            os.preadv(descriptor, [plane], start + view * size)
        os.close(descriptor)

    rates: dict[str, list[float]] = {"Collection.read, in order, cold": [], "bare sequential reads, cold": []}
    for _ in range(ROUNDS):
        for name, run in zip(rates, (by_collection, barely), strict=True):
            forget(ours)
            started = time.perf_counter()
            run()
            rates[name].append(len(picks) * buffer[0].nbytes / (time.perf_counter() - started) / 1e9)
    print("\n| way | GB/s | lowest to highest |\n|---|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {median(values):.2f} | {min(values):.2f} to {max(values):.2f} |")
    ours_rate, bare_rate = (median(values) for values in rates.values())
    print(f"\nCollection.read / bare sequential reads, cold: {ours_rate / bare_rate:.2f}")


def forget(path: Path) -> None:
    """Put a file out of the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


if __name__ == "__main__":
    main()
