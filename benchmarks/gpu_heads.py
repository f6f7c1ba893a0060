"""Heads on a GPU, over a collection of LaMem's size: everything in one go, as a table.

    python benchmarks/gpu_heads.py [--images 45000] [--views 4] [--epochs 50] [--heads 16] [--work FOLDER]

A uint8 collection of random codes (40 GB for the defaults, 36 of them for training; it is kept in FOLDER and used
again), then the commands as a user types them: `amnet-head train` for one head, `amnet-head sweep` for a bank, each
once to compile and once to measure. Seconds are those of the log (training and validation) and of the whole process,
start and loading included. With --device cpu and few images it runs anywhere.
"""

import csv
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch
from random_collection import with_lists
from watched import HEAD

from amnet_common.collection.layout import VIEW_SHAPE

SHARES = {"train_1": 1.0, "val_1": 0.083, "test_1": 0.01}  # of --images; LaMem validates on 3,741 for 45,000
D, L = VIEW_SHAPE[-1], VIEW_SHAPE[0] * VIEW_SHAPE[1]
PRODUCTS = 2 * 2 * L * D * D  # FLOPs an image: K x, and the gradient of K


@click.command()
@click.option("--images", default=45_000, show_default=True, help="Training images.")
@click.option("--views", default=4, show_default=True)
@click.option("--epochs", default=50, show_default=True)
@click.option("--heads", default=16, show_default=True)
@click.option("--device", default="cuda", show_default=True)
@click.option(
    "--work", type=click.Path(path_type=Path), help="Where the collection is kept.  [default: a temporary one]"
)
def main(images: int, views: int, epochs: int, heads: int, device: str, work: Path | None) -> None:
    """Measure and print."""
    if work:
        work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        one, bank = (together(work or Path(scratch), images, views, epochs, count, device) for count in (1, heads))
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    print(f"{name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}; {images} images, {views} views, uint8, "
          f"{epochs} epochs\n")  # fmt: skip
    print("| | s, by the log | s, whole process | heads x views/s | TFLOP/s of K x |\n|---|---|---|---|---|")
    for label, count, found in (("one head", 1, one), (f"bank of {heads}", heads, bank)):
        rate = images * epochs * count / found["log"]
        print(f"| {label} | {found['log']:.1f} | {found['whole']:.1f} | {rate:.0f} | {rate * PRODUCTS / 1e12:.1f} |")


def together(work: Path, images: int, views: int, epochs: int, heads: int, device: str) -> dict[str, float]:
    """Seconds of so many heads in one bank; the collection is made in `work`, or used again."""
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        path = work / f"random-{images}-{views}.h5"
        return measured(Path(scratch), with_lists(path, images, views, SHARES), epochs, heads, device)


def measured(scratch: Path, features: Path, epochs: int, heads: int, device: str) -> dict[str, float]:
    """Seconds of so many heads together, after a short run that compiles."""
    for name, count in (("compile", 1), ("measure", epochs)):
        out = scratch / f"{name}-{heads}"
        words = ["--features", features, "--preset", "paper", "--epochs", count, "--patience", count, "--no-check",
                 "--compile", "--device", device, "--out", out]  # fmt: skip
        several = ["--seeds", heads, "--heads-per-pass", heads, "--split", 1]
        begun = time.monotonic()
        command = ["train", *words] if heads == 1 else ["sweep", *words, *several]
        subprocess.run([*HEAD, *map(str, command)], check=True, stdout=sys.stderr)
        whole = time.monotonic() - begun
    logs = [*out.glob("**/log.csv")]
    return {"whole": whole, "log": sum(seconds_of(log) for log in logs)}


def seconds_of(log: Path) -> float:
    """Of all epochs of a run; in a bank its share."""
    with open(log, newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    main()
