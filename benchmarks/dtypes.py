"""What uint8 costs: rank correlation on LNSIM from uint8 against float16 features, and the error of the features.

    python benchmarks/dtypes.py --root LNSIM --weights TRUNK.safetensors [--work FOLDER] [--epochs 12]

Extracts both collections and trains the default head on each split of each (all go on if stopped), by the commands that
a user would type, then prints Markdown: paired differences over the splits with their spread. The epochs are few and
the same for both, so the correlations are below those of docs/results.md; the differences are what is asked for.
"""

import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import torch

from amnet_common.collection import Collection
from amnet_common.seeds import keyed_philox

BIN = Path(sys.executable).parent
SPLITS = (1, 2, 3, 4, 5)
DTYPES = ("float16", "uint8")
SAMPLE = 200  # views whose error is measured


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="LNSIM: images/ and splits/.")
@click.option("--weights", required=True, help="The trunk, as for amnet-extract.")
@click.option("--work", default="runs/dtypes", type=click.Path(path_type=Path), show_default=True)
@click.option("--epochs", default=12, show_default=True)
def main(root: Path, weights: str, work: Path, epochs: int) -> None:
    """Make the tables; finished runs in the work folder are not trained again."""
    work.mkdir(parents=True, exist_ok=True)
    files = {dtype: work / f"{dtype}.h5" for dtype in DTYPES}
    for dtype, path in files.items():
        source = ("--dataset", "lamem", "--root", root, "--weights", weights)
        command("amnet-extract", *source, "--dtype", dtype, "--out", path)
    rho = {dtype: [trained(path, split, epochs, work) for split in SPLITS] for dtype, path in files.items()}
    print(f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, {epochs} epochs at most\n")
    print_correlations(rho)
    print_errors(*(Collection(path) for path in files.values()))


def command(*words: object) -> None:
    """Run one of our commands; its output goes to standard error."""
    subprocess.run([BIN / str(words[0]), *map(str, words[1:])], check=True, stdout=sys.stderr)


def trained(features: Path, split: int, epochs: int, work: Path) -> float:
    """Test rho of the default head on one split."""
    run = work / f"{features.stem}-{split}"
    if not (run / "metrics.json").exists():
        shutil.rmtree(run, ignore_errors=True)  # what an interrupted training left
        command("amnet-head", "train", "--features", features, "--split", split, "--epochs", epochs, "--out", run)
    return float(json.loads((run / "metrics.json").read_text())["test"]["rho"])


def print_correlations(rho: dict[str, list[float]]) -> None:
    """Each dtype's correlations, and the differences of pairs."""
    print(f"| test rho | {' | '.join(f'split {split}' for split in SPLITS)} | mean |\n|---|{'---|' * 6}")
    for dtype, values in rho.items():
        print(f"| {dtype} | {' | '.join(f'{value:.4f}' for value in values)} | {np.mean(values):.4f} |")
    difference = np.subtract(rho["uint8"], rho["float16"])
    print(f"| uint8 - float16 | {' | '.join(f'{value:+.4f}' for value in difference)} | {difference.mean():+.4f} |")
    print(f"\nstandard deviation of the differences {difference.std(ddof=1):.4f}\n")


def print_errors(floats: Collection, codes: Collection) -> None:
    """The error of a seeded sample of views, how much is clipped, and the bytes."""
    draw = np.random.Generator(keyed_philox("dtypes"))
    rows, views = draw.integers(0, len(codes), SAMPLE), draw.integers(0, codes.views, SAMPLE)
    x, found = floats.read_dequantised(rows, views), codes.read_dequantised(rows, views)
    error = np.sqrt(((x - found) ** 2).sum() / (x**2).sum())
    clipped = codes.images["clipped"].sum(dtype=np.int64)
    values = len(codes) * codes.views * np.prod(codes.view_shape, dtype=np.int64)
    sizes = [part.path.stat().st_size / 1e9 for part in (*floats.parts, *codes.parts)]
    print(f"error of uint8: {error:.2%} of the norm ({SAMPLE} views); {clipped} of {values} values clipped "
          f"({clipped / values:.1e}); {sizes[1]:.2f} GB instead of {sizes[0]:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
