"""What the host does for a validation, whatever the device: heads so small that their arithmetic takes no time.

    python benchmarks/host_validation.py [--heads 1,16] [--other CHECKOUT ...]

Milliseconds a batch of 64 images, the fastest of several rounds of 40 batches. `--other`: checkouts of other versions,
measured in turn with this one. `mapped` is not what amnet does: all heads by one mapped forward pass; a second table
says of heads of the usual size whether that has the bits of each alone, and how long it takes on this CPU.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from headtrain.compute.bank.stacks import stack
from headtrain.features.batches import Picks
from headtrain.features.splits import Subset
from headtrain.heads.architectures import new_head
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL
from headtrain.settings.presets import PRESETS
from headtrain.training.epoch import predict_subset

NAMES, BATCH, BATCHES, ROUNDS = ("amnet", "paper", "released"), 64, 40, 7
SMALL = {"locations": 2, "channels": 8, "hidden": 8, "regress_hidden": 8}
USUAL = 4  # heads of the usual size
HERE = Path(__file__).parents[1]


class InMemory:
    """The same views for every batch: reading costs nothing."""

    views, scales = 1, None

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def batches(self, picks: Iterable[Picks], **_: object) -> Iterator[tuple[Picks, Tensor]]:
        """Yield each of `picks` with its views (n, 1, L, D)."""
        for one in picks:
            yield one, self.x[: len(one.rows), None]


@click.command()
@click.option("--heads", default="1,16", show_default=True)
@click.option("--other", "others", multiple=True, type=click.Path(path_type=Path), help="Checkouts to compare with.")
@click.option("--one", nargs=2, type=(str, int), hidden=True)
def main(heads: str, others: tuple[Path, ...], one: tuple[str, int] | None) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    if one:
        print(ms_a_batch(*one))
        return
    sides = (*others, HERE)
    named = " | ".join(f"{place.resolve().name}, ms a batch" for place in sides)
    print(f"| preset | heads | {named} | mapped |")
    print("|---" * (3 + len(sides)) + "|")
    for preset in NAMES:
        for count in map(int, heads.split(",")):
            cells = [f"{measured(place, preset, count):.2f}" for place in sides]
            print(f"| {preset} | {count} | {' | '.join(cells)} | {mapped_ms(preset, count):.2f} |", flush=True)
    print(f"\n| {USUAL} heads of the usual size | mapped: the same bits | s a batch, each alone | mapped |")
    print("|---" * 4 + "|")
    for preset in NAMES:
        print(f"| {preset} | {usual_size(preset)} |", flush=True)


def measured(checkout: Path, preset: str, count: int) -> float:
    """Milliseconds a batch, by a checkout."""
    command = [sys.executable, __file__, "--one", preset, str(count)]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    return float(subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout)


def ms_a_batch(preset: str, count: int) -> float:
    """Milliseconds a batch of a validation as the log's figures are made."""
    heads, rows = made(preset, count, **SMALL), np.arange(BATCH * BATCHES)
    source, subset = InMemory(views_for(heads[0])), Subset(rows, np.zeros(len(rows)), 0)
    return fastest(lambda: predict_subset(heads, source, subset, 0), ROUNDS) / BATCHES * 1e3


def mapped_ms(preset: str, count: int) -> float:
    """Milliseconds a batch if all heads were mapped over."""
    heads = made(preset, count, **SMALL)
    forward, x = mapped(heads), views_for(heads[0])
    return fastest(lambda: [forward(x) for _ in range(BATCHES)], ROUNDS) / BATCHES * 1e3


def usual_size(preset: str) -> str:
    """Cells of heads of the usual size: whether mapping gives the bits of each alone, seconds a batch of both."""
    heads = made(preset, USUAL)
    x = views_for(heads[0])
    wanted = [head.predict_there(x).score for head in heads]
    alone = fastest(lambda: [head.predict_there(x) for head in heads], 3)
    forward = mapped(heads)
    equal = all(torch.equal(a, b) for a, b in zip(wanted, forward(x), strict=True))
    return f"{'yes' if equal else 'no'} | {alone:.2f} | {fastest(lambda: forward(x), 3):.2f}"


def mapped(heads: list[Head]) -> Callable[[Tensor], list[Tensor]]:
    """One forward pass of all heads, to the scores of each, on the data's scale."""
    parameters, buffers = stack(heads, trained=False)
    common = {name: tensor[0] for name, tensor in buffers.items() if name in heads[0].common}
    own = {name: tensor for name, tensor in buffers.items() if name not in heads[0].common}
    head = heads[0].eval()

    def of_one(parameters: dict[str, Tensor], own: dict[str, Tensor], x: Tensor) -> Output:
        return functional_call(head, {**parameters, **own, **common}, (x, STILL))

    @torch.no_grad()
    def forward(x: Tensor) -> list[Tensor]:
        output = vmap(of_one, in_dims=(0, 0, None))(parameters, own, x)
        return [one.on_data_scale(Output(*(part[n] for part in output))).score for n, one in enumerate(heads)]

    return forward


def made(preset: str, count: int, **size: int) -> list[Head]:
    """Heads with random parameters."""
    torch.manual_seed(0)
    config = replace(PRESETS[preset].config.head, **size)
    heads = [new_head(config).requires_grad_(False) for _ in range(count)]
    for parameter in (parameter for head in heads for parameter in head.parameters()):
        parameter.add_(torch.randn_like(parameter), alpha=0.02)  # a new head's last layer is 0, as if all were equal
    return heads


def views_for(head: Head) -> Tensor:
    """A batch of random views (B, L, D)."""
    return torch.rand(BATCH, head.config.locations, head.config.channels)


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of some rounds, after one that warms up."""
    work()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
