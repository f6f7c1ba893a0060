"""How long it takes to open a large collection, and to learn that a finished one has nothing left to do.

    python benchmarks/opening.py [--folder FOLDER]

Makes LaMem's skeleton (58,741 images, 11 views, 15 lists), and a finished collection of 100,000 image files whose
features were never written (the file is sparse), then runs the real `amnet-extract` over it. Prints seconds.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import h5py
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList, load_dataset
from extract.compute import Hardware
from extract.job import Job
from extract.opening import load_tools, make_spec, provenance
from extract.request import Request

ROUNDS = 5
LAMEM, FINISHED, VIEWS = 58_741, 100_000, 11
COMMAND = Path(sys.executable).with_name("amnet-extract")


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files are made.  [default: a temporary one]")
def main(folder: Path | None) -> None:
    """Measure and print."""
    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        skeleton = lamem_skeleton(work / "lamem.h5")
        opening = times(lambda: Collection(skeleton))
        command = finished_collection(work)
        resuming = times(lambda: run(command))
        print(f"{platform.machine()}, {os.cpu_count()} cores, h5py {h5py.__version__}, {time.strftime('%Y-%m-%d')}\n")
        print("| | median s | lowest to highest |\n|---|---|---|")
        print(f"| open LaMem's skeleton, {LAMEM} images of {VIEWS} views | {row(opening)} |")
        print(f"| `amnet-extract` on a finished collection of {FINISHED} images | {row(resuming)} |")
    finally:
        shutil.rmtree(work)


def times(action: Callable[[], object]) -> list[float]:
    """Seconds of each round."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return seconds


def row(seconds: list[float]) -> str:
    """The cells of a line of the table."""
    return f"{median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f}"


def lamem_skeleton(path: Path) -> Path:
    """An empty collection of LaMem's size."""
    draw = np.random.default_rng(0)
    lists = {
        f"{part}_{number}": SplitList(draw.permutation(LAMEM)[:count], draw.random(count))
        for number in range(1, 6)
        for part, count in (("train", 45_000), ("val", 3_741), ("test", 10_000))
    }
    ids = tuple(f"{i:08}.jpg" for i in range(LAMEM))
    spec = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"augs": VIEWS - 1}, 0, "float32", "float16")
    create_skeleton(path, Dataset("lamem", path.parent, ids, lists), VIEWS, spec, {}, {})
    return path


def finished_collection(work: Path) -> list[str]:
    """A finished collection of small files, and the command that would go on with it."""
    root, out = work / "images", work / "finished.h5"
    for number in range(FINISHED):
        path = root / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"image {number}")
    dataset = load_dataset("folder", root)
    request = Request(out, dataset, "untrained")
    tools = load_tools(Job(request, None, ()), Hardware("cpu"))
    spec = make_spec(tools.weights, request, tools.compute, None)
    create_skeleton(out, dataset, VIEWS, spec, tools.compute.kernel_path(), provenance(dataset, "untrained"))
    boxes = np.zeros((VIEWS, 5), np.float32)
    with RowWriter(out) as writer:
        for number, id_ in enumerate(dataset.ids):
            data, found = (root / id_).read_bytes(), os.stat(root / id_)
            facts = ImageFacts(hashlib.sha256(data).digest(), found.st_size, found.st_mtime_ns, 256, 256)
            writer.finish(number, facts, boxes)
    return [str(COMMAND), "--dataset", "folder", "--root", str(root), "--out", str(out), "--weights", "untrained"]


def run(command: list[str]) -> None:
    """The command must find nothing to do."""
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "nothing to do" in result.stdout, result.stdout


if __name__ == "__main__":
    main()
