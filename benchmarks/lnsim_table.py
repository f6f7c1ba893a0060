"""The table of docs/results.md, by the commands that a user would type, on the five splits of LNSIM.

    python benchmarks/lnsim_table.py --root LNSIM --weights TRUNK [--work FOLDER] [--only HEAD] [--peer CSV]

Every part goes on where it was stopped; take a new work folder after a change of code. Every choice is made on the
split's validation list; the test list is used once for each row. `--peer`: what benchmarks/resmem_peer.py wrote.
"""

import platform
import subprocess
import sys
import time
from pathlib import Path

import click
import torch

BIN = Path(sys.executable).parent
HEADS = {
    "amnet": ["--preset", "amnet"],
    "amnet-no-attention": ["--preset", "amnet", "--no-attention"],
    "paper": ["--preset", "paper"],
    "released": ["--preset", "released"],
}


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="LNSIM: images/ and splits/.")
@click.option("--weights", required=True, help="The trunk, as for amnet-extract.")
@click.option("--work", default="runs/lnsim", type=click.Path(path_type=Path), show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(HEADS)), help="Only these heads.  [default: all]")
@click.option("--peer", type=click.Path(path_type=Path), help="Another system's id,score.")
def main(root: Path, weights: str, work: Path, only: tuple[str, ...], peer: Path | None) -> None:
    """Extract, fit the baselines, train the heads, and print one table on standard output."""
    work.mkdir(parents=True, exist_ok=True)
    features = extracted(work / "standard.h5", root, weights, "standard", 10)
    made = [work / name for name in only or HEADS]
    for run in made:
        read = extracted(work / "squash264.h5", root, weights, "squash264", 10) if run.name == "released" else features
        command("amnet-head", "train", "--features", read, "--split", "all", "--out", run, "--resume", *HEADS[run.name])
    if peer:
        made.append(once(work / "peer", "evaluate", "--features", features, "--scores", peer, "--name", peer.stem))
    baselines = once(work / "baselines", "baseline", "--features", features)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{time.strftime('%Y-%m-%d')}\n", flush=True)  # fmt: skip
    runs = [*made, *sorted(baselines.iterdir())]
    subprocess.run([BIN / "amnet-head", "table", *map(str, runs)], check=True)


def extracted(out: Path, root: Path, weights: str, plan: str, augs: int) -> Path:
    """The features of one view plan; the authors' recipe has its own."""
    words = ("--dataset", "lamem", "--root", root, "--plan", plan, "--augs", augs, "--weights", weights)
    command("amnet-extract", *words, "--out", out)
    return out


def once(out: Path, *words: object) -> Path:
    """Run `amnet-head WORDS --out OUT` unless that is there."""
    if not out.exists():
        command("amnet-head", *words, "--out", out)
    return out


def command(*words: object) -> None:
    """Run one of our commands; its output goes to standard error."""
    subprocess.run([BIN / str(words[0]), *map(str, words[1:])], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
