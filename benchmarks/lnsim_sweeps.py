"""The large table of docs/results.md: sweeps on the five splits of LNSIM, by the command that a user would type.

    python benchmarks/lnsim_sweeps.py --root LNSIM --weights TRUNK [--work FOLDER] [--only NAME] [--fast]

Every sweep goes on where it was stopped; finished heads are not trained again. `--fast`: the questions of steps,
views, dropout and L2 are asked of heads without attention, which train several times as fast. Prints a table for each
sweep, its configurations ordered by mean validation rho.
"""

import platform
import subprocess
import time
from pathlib import Path

import click
import torch
from lnsim_table import BIN, command, extracted

SEEDS = ["--seeds", "3"]
PRESETS = {
    "amnet": SEEDS,
    "amnet-no-attention": ["--no-attention", *SEEDS],
    "released": ["--preset", "released", *SEEDS],
    "released-no-attention": ["--preset", "released", "--no-attention", *SEEDS],
}
QUESTIONS = {
    "steps": ["--grid", "steps=1,2,3,4,5,6"],
    "augs": ["--grid", "augs=0,1,2,5,10"],
    "dropout": ["--grid", "dropout=0.3,0.5,0.7"],
    "l2": ["--grid", "l2=1e-6,1e-5,1e-4"],
}


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="LNSIM: images/ and splits/.")
@click.option("--weights", required=True, help="The trunk, as for amnet-extract.")
@click.option("--work", default="runs/lnsim", type=click.Path(path_type=Path), show_default=True)
@click.option("--only", multiple=True, type=click.Choice([*PRESETS, *QUESTIONS]), help="Only these.  [default: all]")
@click.option("--fast", is_flag=True, help="Questions about heads without attention.")
def main(root: Path, weights: str, work: Path, only: tuple[str, ...], fast: bool) -> None:
    """Extract, train, and print the tables."""
    work.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{time.strftime('%Y-%m-%d')}", flush=True)  # fmt: skip
    for name, words in (PRESETS | QUESTIONS).items():
        if only and name not in only:
            continue
        plan = "squash264" if name.startswith("released") else "standard"
        features = extracted(work / f"{plan}.h5", root, weights, plan)
        out = work / "sweeps" / (f"{name}-no-attention" if fast and name in QUESTIONS else name)
        more = ["--no-attention"] if fast and name in QUESTIONS else []
        command("amnet-head", "sweep", "--features", features, *words, *more, "--out", out, "--resume")
        print(f"\n{out.name}\n", flush=True)
        subprocess.run([BIN / "amnet-head", "runs", out, "--summary"], check=True)


if __name__ == "__main__":
    main()
