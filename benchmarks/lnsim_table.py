"""The tables of docs/results.md, by the commands that a user would type, on the five splits of LNSIM.

    python benchmarks/lnsim_table.py --root LNSIM --weights TRUNK [--work FOLDER] [--seeds 3] [--only HEAD] [--peer CSV]

Every part goes on where it was stopped; take a new work folder after a change of code. Every choice is made on the
split's validation list, a kernel's strength by leave-one-out on the training list; the test list is used once for each
row. `--peer`: what benchmarks/resmem_peer.py wrote. On an H100 some ten minutes, on two cores a day.
"""

import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import torch

BIN = Path(sys.executable).parent
PLANS = ("full", "squash264", "standard")
HEADS = {  # the plan of the views, and the words of the command
    "amnet": ("standard", []),
    "amnet-full": ("full", []),
    "amnet-squash264": ("squash264", []),
    "amnet-no-attention": ("standard", ["--no-attention"]),
    "paper": ("standard", ["--preset", "paper"]),
    "released": ("squash264", ["--preset", "released"]),
    "attention-pool": ("standard", ["--arch", "attention-pool"]),
    "mean-pool": ("standard", ["--arch", "mean-pool"]),
}
KERNEL = "moments-kernel"
STACKED = ("amnet", "amnet-full")  # put together with the kernel of their plan
PAIRS = [("amnet", other) for other in HEADS if other != "amnet"]


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="LNSIM: images/ and splits/.")
@click.option("--weights", required=True, help="The trunk, as for amnet-extract.")
@click.option("--work", default="runs/lnsim", type=click.Path(path_type=Path), show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Of each head.")
@click.option("--only", multiple=True, type=click.Choice([*HEADS]), help="Only these heads.  [default: all]")
@click.option("--peer", type=click.Path(path_type=Path), help="Another system's id,score.")
def main(root: Path, weights: str, work: Path, seeds: int, only: tuple[str, ...], peer: Path | None) -> None:
    """Extract, fit the baselines, train the heads, and print the tables on standard output."""
    work.mkdir(parents=True, exist_ok=True)
    names = only or tuple(HEADS)
    features = {plan: extracted(work / f"{plan}.h5", root, weights, plan) for plan in PLANS}
    fitted = {plan: once(work / f"{plan}-baselines", "baseline", "--features", features[plan]) for plan in PLANS}
    for name in names:
        plan, words = HEADS[name]
        command("amnet-head", "sweep", "--features", features[plan], *words, "--seeds", seeds, "--out", work / name,
                "--resume")  # fmt: skip
    together = [*evaluated(work, features, fitted, names, seeds)]
    if peer:
        read = ("--features", features["standard"], "--scores", peer, "--name", peer.stem)
        together.append(once(work / "peer", "evaluate", *read))
    print(f"{device()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}", flush=True)
    said("baselines of each plan", "table", *(run for plan in PLANS for run in sorted(fitted[plan].iterdir())))
    for name in names:
        said(name, "runs", work / name, "--summary", "--test")
        said(f"{name}, each seed", "table", *runs_of(work, name, seeds))
    said("over all views", "table", *together)
    for one, other in PAIRS:
        if {one, other} <= {*names}:
            said(f"{one} - {other}", "compare", *runs_of(work, one, seeds), "--", *runs_of(work, other, seeds))
    for plan in PLANS[1:]:
        said(f"kernels, {PLANS[0]} - {plan}", "compare", fitted[PLANS[0]] / KERNEL, "--", fitted[plan] / KERNEL)


def evaluated(
    work: Path, features: dict[str, Path], fitted: dict[str, Path], names: Sequence[str], seeds: int
) -> Iterator[Path]:
    """Test each head over all views, the seeds of each together, and kernels stacked with heads; yield the results."""
    for name in names:
        words, runs = ("--features", features[HEADS[name][0]], "--view", "all"), runs_of(work, name, seeds)
        for run in runs:
            yield once(work / "all-views" / f"{name}-{run.name}", "evaluate", *words, "--head", run)
        heads = [word for run in runs for word in ("--head", run)]
        yield once(work / "all-views" / f"{name}-seeds", "evaluate", *words, *heads)
        if name in STACKED:
            kernel = ("--head", fitted[HEADS[name][0]] / KERNEL, "--weights", "stacked")
            yield once(work / "all-views" / f"{name}-and-kernel", "evaluate", *words, *heads, *kernel)


def runs_of(work: Path, name: str, seeds: int) -> list[Path]:
    """The folders of a head, one for each seed."""
    return [work / name / f"seed={seed}" for seed in range(seeds)]


def device() -> str:
    """What computes."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()


def extracted(out: Path, root: Path, weights: str, plan: str) -> Path:
    """The features of one view plan, with ten augmented views."""
    words = ("--dataset", "lamem", "--root", root, "--plan", plan, "--augs", 10, "--weights", weights)
    command("amnet-extract", *words, "--out", out)
    return out


def once(out: Path, *words: object) -> Path:
    """Run `amnet-head WORDS --out OUT` unless that is there."""
    if not out.exists():
        command("amnet-head", *words, "--out", out)
    return out


def said(title: str, *words: object) -> None:
    """Print what one of our commands says."""
    print(f"\n{title}\n", flush=True)
    subprocess.run([BIN / "amnet-head", *map(str, words)], check=True)


def command(*words: object) -> None:
    """Run one of our commands; its output goes to standard error."""
    subprocess.run([BIN / str(words[0]), *map(str, words[1:])], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
