"""Scoring a collection: images/s beside the plain float32 way, and the memory that a large collection takes.

    python benchmarks/scoring.py --features F.h5 --head RUN [--large 100000]

The plain way: h5py, batches of 64, the paper's equations in PyTorch without care, K x in each step (8). Ours:
`amnet-head score`'s loop as `--precision auto --compile` runs it. Both after a first pass that is left out, since
compiling is in it. Then `amnet-head score` over so many synthetic rows (20 GB, in a temporary file), with its peak of
memory beside that of scoring 64 rows with the same head.
"""

import platform
import tempfile
import time
from pathlib import Path

import click
import h5py
import numpy as np
import torch
from plain_head import D, L, PlainHead
from random_collection import random_collection
from watched import HEAD, watched

from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.machine.memory import keep_freed_memory
from headtrain.compute.kernels import choose_kernels
from headtrain.heads.checkpoint import load_head
from headtrain.heads.head import Head
from headtrain.scoring.ensemble import predict_together

BATCH = 64


@click.command()
@click.option("--features", required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--head", "run", required=True, type=click.Path(path_type=Path, exists=True), help="Of preset paper or amnet."
)
@click.option("--large", default=100_000, show_default=True, help="Synthetic rows; 0: leave that out.")
def main(features: Path, run: Path, large: int) -> None:
    """Measure and print."""
    keep_freed_memory()
    collection, head = Collection(features), load_head(run)
    rows = np.arange(len(collection))
    kernels = choose_kernels("auto", None, "cpu", 10**9)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{time.strftime('%Y-%m-%d')}; {len(rows)} images, ours: {kernels}\n", flush=True)  # fmt: skip
    plain_seconds, plain = timed(lambda: score_plainly(features, head))
    our_seconds, said = timed(lambda: predict_together([head], collection, rows, [0], kernels).score)
    difference = np.abs(said - plain)
    print("| | images/s |\n|---|---|")
    print(f"| plain | {len(rows) / plain_seconds:.0f} |\n| ours | {len(rows) / our_seconds:.0f} |")
    print(f"\nours / plain: {plain_seconds / our_seconds:.2f}; difference of the scores over their spread: mean "
          f"{difference.mean() / plain.std():.1e}, largest {difference.max() / plain.std():.1e}")  # fmt: skip
    if large:
        report_memory(run, large)


def timed(score: object) -> tuple[float, np.ndarray]:
    """Seconds of the second call, and what it gives."""
    score()
    begun = time.monotonic()
    found = score()
    return time.monotonic() - begun, found


@torch.no_grad()
def score_plainly(features: Path, head: Head) -> np.ndarray:
    """(N,) scores of view 0."""
    plain = plain_of(head)
    found = []
    with h5py.File(features) as file:
        for start in range(0, len(file["features"]), BATCH):
            x = torch.from_numpy(file["features"][start : start + BATCH, 0].astype(np.float32)).reshape(-1, L, D)
            if head.config.standardise:
                x = (x - head.input_mean) / head.input_std
            found.append(plain(x)[0] / head.target_scale + head.target_mean)
    return torch.cat(found).numpy()


def plain_of(head: Head) -> PlainHead:
    """The plain implementation with a head's parameters."""
    named = {"K.weight": "attention.K.weight", "U.weight": "attention.U.weight", "b": "attention.b", "M": "attention.M"}
    named |= {f"f.0.{part}": f"regress.hidden.{part}" for part in ("weight", "bias")}
    named |= {f"f.2.{part}": f"regress.out.{part}" for part in ("weight", "bias")}
    plain, state = PlainHead(), head.state_dict()
    plain.load_state_dict({name: state[named.get(name, name)] for name in plain.state_dict()})
    return plain


def report_memory(run: Path, count: int) -> None:
    """The peak of `amnet-head score` over 64 rows, which the model takes, and over `count`."""
    with tempfile.TemporaryDirectory() as work:
        files = [Path(work) / f"{rows}.h5" for rows in (BATCH, count)]
        for path in files:
            random_collection(
                path, Dataset("bench", path.parent, tuple(f"{i:08}.jpg" for i in range(int(path.stem)))), 1
            )
        peaks = [peak(run, path) for path in files]
    print(f"\npeak memory, GB: {BATCH} rows {peaks[0] / 1e9:.2f}, {count} rows {peaks[1] / 1e9:.2f}")


def peak(run: Path, features: Path) -> int:
    """Bytes."""
    out = features.with_suffix(".csv")
    words = ["score", "--features", features, "--head", run, "--out", out, "--device", "cpu"]
    return watched([*HEAD, *words]).memory


if __name__ == "__main__":
    main()
