"""How much of the bare trunk's rate a whole extraction keeps: decode, cut, checksum and write beside it.

    python benchmarks/extraction.py [--photographs FOLDER] [--images N] [--augs A] [--rounds R]

Both ways run the same batches of views through the same network (random weights, whose speed is the same) and take
turns. Pictures of 500x375 pixels are drawn where no folder of --photographs is given.
"""

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch
from PIL import Image

from amnet_common.datasets import load_dataset
from extract.compute import Hardware, default_workers
from extract.crops import ViewPlan
from extract.job import find_job
from extract.opening import load_tools, open_job
from extract.pipeline import Cutter, RowReport, extract_rows
from extract.request import Request
from extract.weight_source import UNTRAINED


@click.command()
@click.option("--images", default=24, show_default=True)
@click.option("--augs", default=10, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--photographs", type=click.Path(path_type=Path, exists=True), help="A folder of JPEG files.")
def main(photographs: Path | None, images: int, augs: int, rounds: int, device: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as work:
        dataset = load_dataset("folder", pictures(Path(work), photographs, images))
        request = Request(Path(work) / "t.h5", dataset, UNTRAINED, ViewPlan(augs))
        tools = load_tools(find_job(request), Hardware(device))
        compute, trunk, cutter = tools.compute, tools.trunk, Cutter(dataset, request.plan, request.seed)
        workers = default_workers(torch.device(compute.device).type)
        batches = same_batches(cutter, images, compute.batch_size)
        trunk(batches[0])
        bare, whole = [], []
        for _ in range(rounds):
            bare.append(seconds(lambda: [trunk(batch) for batch in batches]))
            rows = open_job(find_job(request), tools).rows
            run = extract_rows(request.out, rows, cutter, trunk, compute.batch_size, workers)
            whole.append(seconds(lambda run=run: finish(run)))
            request.out.unlink()
    views = images * request.plan.views
    print(f"{platform.machine()}, {os.cpu_count()} cores, {compute.precision} on {compute.device}, batches of "
          f"{compute.batch_size}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")  # fmt: skip
    print("| | views/s |\n|---|---|")
    print(f"| bare trunk | {views / median(bare):.1f} |\n| whole extraction | {views / median(whole):.1f} |")
    ratios = [b / w for b, w in zip(bare, whole, strict=True)]
    print(f"\nwhole / bare: {median(ratios):.3f} (rounds: {', '.join(f'{ratio:.3f}' for ratio in ratios)})")


def pictures(work: Path, photographs: Path | None, count: int) -> Path:
    """A folder of `count` photographs, or of drawn JPEG files of the usual size."""
    folder = work / "images"
    folder.mkdir()
    if photographs:
        for path in sorted(photographs.iterdir())[:count]:
            (folder / path.name).symlink_to(path.resolve())
    else:
        for i in range(count):
            noise = np.random.default_rng(i).integers(0, 256, (47, 63, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((500, 375)).save(folder / f"{i:03}.jpg", quality=90)
    return folder


def same_batches(cutter: Cutter, images: int, batch_size: int) -> list[np.ndarray]:
    """All views, decoded beforehand, in the batches that the extraction will make of them."""
    cuts = [cutter(row).pixels for row in range(images)]
    views = np.concatenate([pixels for pixels in cuts if pixels is not None])
    return [views[i : i + batch_size] for i in range(0, len(views), batch_size)]


def finish(run: Iterator[RowReport]) -> None:
    """Let an extraction run to its end; every image must do."""
    for report in run:
        assert not report.error, report


def seconds(run) -> float:  # noqa: ANN001 - any callable
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
