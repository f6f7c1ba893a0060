"""What a faster path of the trunk changes: features of real photographs, every path against float32 as it is written.

    python benchmarks/fidelity.py --photographs LNSIM/images --weights TRUNK [--images 64]

Cosine similarity and the largest difference, for each view of each image; smallest and median over the views.
"""

import time
from pathlib import Path

import click
import numpy as np
import torch
from machine import processor

from amnet_common.datasets import load_dataset
from extract.compute import Compute
from extract.crops import ViewPlan
from extract.frozen_trunk import FrozenTrunk
from extract.pipeline import Cutter
from extract.trunk import build_trunk
from extract.weights import load_weights

BATCH = 8
PATHS = [("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True)]


@click.command()
@click.option("--photographs", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--weights", required=True, help="As for amnet-extract.")
@click.option("--images", default=64, show_default=True)
def main(photographs: Path, weights: str, images: int) -> None:
    """Measure and print."""
    dataset, loaded = load_dataset("folder", photographs), load_weights(weights)
    rows = np.linspace(0, len(dataset.ids) - 1, images).astype(int)
    cuts = [Cutter(dataset, ViewPlan(augs=1), 0)(row).pixels for row in rows.tolist()]
    pixels = np.concatenate([cut for cut in cuts if cut is not None])
    batches = [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]
    plain = build_trunk(loaded.variant, loaded.state)
    with torch.inference_mode():
        wanted = np.concatenate([plain(torch.from_numpy(batch)).numpy() for batch in batches])
    print(f"{processor()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}; {len(pixels)} views\n")
    print("| | cosine, smallest | median | largest difference / largest value |\n|---|---|---|---|", flush=True)
    for precision, compiled in PATHS:
        trunk = FrozenTrunk(loaded, Compute("cpu", precision, BATCH, torch.get_num_threads(), compiled))
        found = np.concatenate([trunk(batch).result().features.astype(np.float32) for batch in batches])
        cosine = cosines(found, wanted)
        name = f"{precision}{', compiled' if compiled else ''}"
        off = np.abs(found - wanted).max() / wanted.max()
        print(f"| {name} | {cosine.min():.6f} | {np.median(cosine):.6f} | {off:.1e} |", flush=True)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) of features (n, 14, 14, 1024)."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


if __name__ == "__main__":
    main()
