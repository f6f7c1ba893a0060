"""The table of docs/results.md: ridge regression and `amnet-head train` on the five splits of LNSIM.

    python benchmarks/lnsim_table.py --root LNSIM --weights TRUNK.safetensors [--work FOLDER] [--only amnet]

Extracts once (goes on if stopped), trains each split by the command that a user would type, and prints Markdown.
Every choice is made on the split's validation list; the test list is used once for each row.
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
from headtrain.metrics import evaluate, spearman

BIN = Path(sys.executable).parent
SPLITS = (1, 2, 3, 4, 5)
STRENGTHS = 10.0 ** np.arange(-1, 7)  # of ridge, in units of the standardised features
HEADS = {
    "amnet": [],
    "amnet, no attention": ["--no-attention"],
    "paper": ["--preset", "paper"],
}


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="LNSIM: images/ and splits/.")
@click.option("--weights", required=True, help="The trunk, as for amnet-extract.")
@click.option("--work", default="runs/lnsim-table", type=click.Path(path_type=Path), show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(HEADS)), help="Only these heads.  [default: all]")
def main(root: Path, weights: str, work: Path, only: tuple[str, ...]) -> None:
    """Make the table; finished runs in the work folder are not trained again: take a new one after a change of code."""
    work.mkdir(parents=True, exist_ok=True)
    features = work / "lnsim.h5"
    source = ("--dataset", "lamem", "--root", root, "--augs", 10, "--weights", weights)
    command("amnet-extract", *source, "--out", features)
    collection = Collection(features)
    print_head()
    print_row("ridge on mean-pooled view 0", [ridge(collection, split) for split in SPLITS])
    for name, options in HEADS.items():
        if not only or name in only:
            print_row(f"head, preset {name}", [trained(features, split, options, work) for split in SPLITS])


def command(*words: object) -> None:
    """Run one of our commands; its output goes to standard error."""
    subprocess.run([BIN / str(words[0]), *map(str, words[1:])], check=True, stdout=sys.stderr)


def ridge(collection: Collection, split: int) -> dict[str, float]:
    """Ridge regression on standardised mean-pooled view-0 features, strength by validation rho."""
    train, val, test = (collection.split(f"{part}_{split}") for part in ("train", "val", "test"))
    x, xv, xt = (pooled(collection, part.rows) for part in (train, val, test))
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, xv, xt = ((part - mean) / std for part in (x, xv, xt))
    centre = train.scores.mean()
    gram, moment = x.T @ x, x.T @ (train.scores - centre)
    fits = [np.linalg.solve(gram + strength * np.eye(len(gram)), moment) for strength in STRENGTHS]
    best = max(fits, key=lambda w: spearman(xv @ w, val.scores))
    metrics = evaluate(xt @ best + centre, test.scores)
    return {"rho": metrics.rho, "mse": metrics.mse, "val": spearman(xv @ best, val.scores)}


def pooled(collection: Collection, rows: np.ndarray) -> np.ndarray:
    """(n, D) float64: view 0 averaged over places."""
    parts = (collection.read_dequantised(rows[i : i + 64]).mean((1, 2)) for i in range(0, len(rows), 64))
    return np.concatenate(list(parts)).astype(np.float64)


def trained(features: Path, split: int, options: list[str], work: Path) -> dict[str, float]:
    """`amnet-head train` on one split."""
    run = work / "-".join(["run", *(option.strip("-") for option in options), str(split)])
    if not (run / "metrics.json").exists():
        shutil.rmtree(run, ignore_errors=True)  # what an interrupted training left
        command("amnet-head", "train", "--features", features, "--split", split, "--out", run, *options)
    found = json.loads((run / "metrics.json").read_text())
    test, best = found["test"], found["best"]
    return {"rho": test["rho"], "mse": test["mse"], "val": best["val_rho"], "epoch": best["epoch"]}


def print_head() -> None:
    """Where and with what the figures were measured, and the head of the table."""
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{time.strftime('%Y-%m-%d')}\n")  # fmt: skip
    columns = ["", *(f"split {split}" for split in SPLITS)]
    columns += ["mean test rho", "mean test MSE", "mean val rho", "best epochs"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def print_row(name: str, results: list[dict[str, float]]) -> None:
    """One line of the table."""
    mean = {key: float(np.mean([result[key] for result in results])) for key in ("rho", "mse", "val")}
    epochs = ", ".join(str(result["epoch"]) for result in results) if "epoch" in results[0] else ""
    cells = [name, *(f"{result['rho']:.3f}" for result in results)]
    cells += [f"**{mean['rho']:.3f}**", f"{mean['mse']:.4f}", f"{mean['val']:.3f}", epochs]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
