"""What opening a library costs that has grown for a year: 3 million images in 365 parts, and what reads its marks.

    python benchmarks/large_library.py [--rows N] [--parts P] [--folder FOLDER] [--keep]

Makes the same rows three times: as one file, as parts that a link finds by their ids, and as parts that a link names
row by row. All rows are done, and their marks right; the features were never written, so that the files are sparse.
Each measurement is a process of its own, with the page cache warm: seconds, seconds of processors (also at
the child that asks the HDF5 library), and the most memory that it ever had.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import click
import numpy as np

from amnet_common.collection.layout import DONE, HELD_ROW
from amnet_common.collection.marks import row_checksums
from amnet_common.collection.raw import read_table
from amnet_common.collection.skeleton import create_link, create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.structure import read_structure
from amnet_common.commands import progress
from amnet_common.datasets import Dataset

ROWS, PARTS, DESCRIPTORS = 3_000_000, 365, 1024
SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"augs": 0}, 0, "float32", "float16")
OPEN = "from amnet_common.collection import Collection; c = Collection({path!r}); assert (c.status == 1).all()"
INFO = "from amnet_common.cli import main; main(['info', {path!r}])"
VERIFY = "from amnet_common.cli import main; main(['verify', '--quick', {path!r}])"
BLOCKS = """
from amnet_common.collection import Collection
from headtrain.scoring.job import BLOCK, block_checksum
import numpy as np
c = Collection({path!r})
for start in range(0, len(c), BLOCK):
    block_checksum(c, np.arange(start, min(start + BLOCK, len(c))))
"""
ACTIONS = {"open": OPEN, "`amnet-cache info`": INFO, "`amnet-cache verify --quick`": VERIFY,
           "marks of `amnet-head score`'s blocks": BLOCKS}  # fmt: skip


@click.command()
@click.option("--rows", default=ROWS, show_default=True)
@click.option("--parts", default=PARTS, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files are made.  [default: a temporary one]")
@click.option("--keep", is_flag=True, help="Leave the files in FOLDER, and use those that are there.")
@click.option("--opening", is_flag=True, help="Measure opening alone.")
def main(rows: int, parts: int, folder: Path | None, keep: bool, opening: bool) -> None:
    """Measure and print."""
    work = folder if keep and folder else Path(tempfile.mkdtemp(dir=folder))
    try:
        kinds = library(work, rows, parts)
        print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}\n")
        print(f"| {rows} images | | s | s of processors | MB at most |\n|---|---|---|---|---|")
        for action, code in list(ACTIONS.items())[: 1 if opening else None]:
            for kind, path in kinds.items():
                seconds, busy, most = measured(code.format(path=str(path)))
                print(f"| {action} | {kind} | {seconds:.2f} | {busy:.2f} | {most / 1e6:.0f} |", flush=True)
    finally:
        if not keep:
            shutil.rmtree(work)


def library(work: Path, rows: int, parts: int) -> dict[str, Path]:
    """The files by what they are, made unless they are there."""
    bounds = np.linspace(0, rows, parts + 1).astype(int)
    names = [ids(start, stop) for start, stop in pairwise(bounds)]
    kinds = {"one file": work / "one.h5", f"{parts} parts by id": work / "by-id.h5",
             f"{parts} parts row by row": work / "by-row.h5"}  # fmt: skip
    one, by_id, by_row = kinds.values()
    if by_row.exists():
        return kinds
    filled(one, sum(names, ()))
    sources = []
    with progress("parts", parts, "parts") as bar:
        for number, some in enumerate(names):
            sources.append((f"parts/{number:04}.h5", filled(work / "parts" / f"{number:04}.h5", some)))
            bar.update()
    dataset = Dataset("bench", work, sum(names, ()))
    create_link(by_id, dataset, SPEC, sources, {})
    held = np.zeros(rows, HELD_ROW)
    held["part"] = np.repeat(np.arange(parts), np.diff(bounds))
    held["row"] = np.arange(rows) - bounds[held["part"]]
    create_link(by_row, dataset, SPEC, sources, {}, held)
    return kinds


def ids(start: int, stop: int) -> tuple[str, ...]:
    """Names as cameras and dates make them."""
    return tuple(f"2026/{row // 8192:03}/IMG_{row:08}.jpg" for row in range(start, stop))


def filled(path: Path, names: tuple[str, ...]) -> str:
    """A file whose rows are done, without features; its uuid."""
    path.parent.mkdir(exist_ok=True)
    create_skeleton(path, Dataset("bench", path.parent, names), 1, SPEC, {}, {})
    structure = read_structure(path)
    images, planes, draw = read_table(path, structure.images), structure.planes, np.random.default_rng(len(names))
    assert planes is not None
    images["sha256"], images["status"] = draw.integers(0, 256, (len(images), 32), np.uint8), DONE
    images["size"], images["mtime_ns"] = draw.integers(1, 2**24, len(images)), 1_700_000_000_000_000_000
    images["width"], images["height"] = 640, 480
    checksums = draw.integers(0, 2**32, (len(images), 1), np.uint32)
    boxes = np.broadcast_to(np.array([0, 80, 480, 480, 0], np.float32), (len(images), 1, 5))
    images["crc32c"] = row_checksums(images, checksums, boxes)
    tables = ((structure.images, images), (planes.checksums, checksums), (planes.views, boxes))
    with open(path, "r+b") as file:
        for extent, table in tables:
            file.seek(extent.offset)
            file.write(np.ascontiguousarray(table).tobytes())
    return structure.uuid


def measured(code: str) -> tuple[float, float, int]:
    """Seconds, those of processors, and most bytes of resident memory of a process that runs some code."""
    report = "\nimport resource, sys; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    guarded = f"try:\n    exec({code!r})\nexcept SystemExit as end:\n    assert not end.code, end.code{report}"
    before, started = children(), time.perf_counter()
    command = [sys.executable, "-c", guarded]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=few_descriptors, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr)
    return seconds, children() - before, 1024 * int(done.stderr.split()[-1])


def children() -> float:
    """Seconds that processors were at all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def few_descriptors() -> None:
    """As a shell's `ulimit -n 1024`."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


if __name__ == "__main__":
    main()
