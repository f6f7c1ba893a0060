"""An epoch of the paper's head beside the plain implementation of it, and a bank of heads beside as many alone.

    python benchmarks/head_epoch.py --features F.h5 [--epochs E] [--heads K] [--rounds R]

The same images of split 1, the same configuration, each side in processes of its own; the sides take turns. The first
epoch of each process stands apart: compiling is in it. Ours computes as `--precision auto` chooses.
"""

import csv
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import torch
from stages_heads import AS_PLAIN
from watched import HEAD, watched

PLAIN = Path(__file__).with_name("plain_head.py")


@click.command()
@click.option("--features", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--epochs", default=3, show_default=True, help="Of each process; the first stands apart.")
@click.option("--heads", default=8, show_default=True)
@click.option("--rounds", default=2, show_default=True)
def main(features: Path, epochs: int, heads: int, rounds: int) -> None:
    """Measure and print."""
    plain, ours = [], []
    for _ in range(rounds):
        plain.append(run_plain(features, epochs))
        ours.append(run_ours(features, epochs))
    alone = run_ours(features, epochs)
    bank = run_bank(features, epochs, heads)
    steady = [median(seconds for side in sides for seconds in side["seconds"][1:]) for sides in (plain, ours)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| | first epoch, s | s an epoch after it | peak memory, GB | val rho |\n|---|---|---|---|---|")
    for name, sides, seconds in (("plain", plain, steady[0]), ("amnet-head train", ours, steady[1])):
        first, memory = max(side["seconds"][0] for side in sides), sides[0]["memory"] / 1e9
        print(f"| {name} | {first:.1f} | {seconds:.1f} | {memory:.1f} | {sides[0]['rho']:.3f} |")
    print(f"\nplain / ours: {steady[0] / steady[1]:.2f}")
    each = median(bank["seconds"][1:])  # its share of the bank's
    memory = bank["memory"] / (heads * alone["memory"])
    print(f"bank of {heads} / {heads} alone: time {each / median(alone['seconds'][1:]):.2f}, memory {memory:.2f}")


def run_plain(features: Path, epochs: int) -> dict:
    """Seconds of each epoch, the last validation rho, the peak of memory in bytes."""
    out, _, memory = watched([sys.executable, PLAIN, "--features", features, "--epochs", epochs])
    lines = [json.loads(line) for line in out.splitlines()]
    return {"seconds": [line["seconds"] for line in lines], "rho": lines[-1]["val_rho"], "memory": memory}


def run_ours(features: Path, epochs: int) -> dict:
    """As `run_plain`, of `amnet-head train`."""
    with tempfile.TemporaryDirectory() as work:
        *_, memory = watched([*command("train", features, epochs), "--out", Path(work) / "run"])
        return logged(Path(work) / "run", memory)


def run_bank(features: Path, epochs: int, heads: int) -> dict:
    """As `run_plain`, of a sweep over seeds: the first of its heads, whose seconds are its share."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "sweep"
        words = [*command("sweep", features, epochs), "--split", 1, "--seeds", heads, "--heads-per-pass", heads]
        *_, memory = watched([*words, "--out", out])
        return logged(out / "seed=0" / "split-1", memory)


def command(name: str, features: Path, epochs: int) -> list[object]:
    """One of our commands with the paper's values; features are checked once, as the plain side never does."""
    return [*HEAD, name, "--features", features, "--preset", "paper", *AS_PLAIN, "--epochs", epochs,
            "--no-check", "--compile"]  # fmt: skip


def logged(run: Path, memory: int) -> dict:
    """What a run's log says."""
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return {"seconds": [float(row["seconds"]) for row in rows], "rho": float(rows[-1]["val_rho"]), "memory": memory}


if __name__ == "__main__":
    main()
