"""The stages of training and scoring, by the commands, on random features; and one step of the attention alone."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from machine import copy_rate, seconds
from random_collection import with_lists
from stage import Stage
from stages_extract import Limits
from watched import HEAD, watched

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from headtrain.compute.kernels import choose_kernels, choose_precision, compiled_well
from headtrain.heads.checkpoint import load_head
from headtrain.heads.layers import recomputed
from headtrain.heads.paper import energies
from headtrain.scoring.ensemble import predict_together

HERE = Path(__file__).parent
L, D = VIEW_SHAPE[0] * VIEW_SHAPE[1], VIEW_SHAPE[2]
K_PRODUCT = 2 * L * D * D  # FLOPs an image: K x; training computes its gradient as well
AS_PLAIN = ["--feature-dropout", 0, "--attention-dropout", 0, "--regress-dropout", 0]  # plain_head.py has none
EPOCHS, LISTS = 3, {"train_1": 1.0, "val_1": 0.05, "test_1": 0.05}


def head_stages(limits: Limits, folder: Path, images: int, views: int, heads: int, able: bool) -> Iterator[Stage]:
    """An epoch of the plain head (on a CPU), of ours, and of a bank, if there are `heads` for one; then
    scoring. `able`: to compile."""
    features, precision = with_lists(folder / "heads.h5", images, views, LISTS), choose_precision("auto", limits.device)
    most, name = limits.products[precision], f"{precision} products"
    if limits.kind == "cpu":
        out = watched([sys.executable, HERE / "plain_head.py", "--features", features, "--images", images,
                       "--epochs", 2]).out  # fmt: skip
        rate = images / json.loads(out.splitlines()[-1])["seconds"]
        yield Stage("head epoch, plain", rate, "images/s", 2 * rate * K_PRODUCT / limits.products["float32"],
                    "float32 products")  # fmt: skip
    words = ["--features", features, "--preset", "paper", *AS_PLAIN, "--epochs", EPOCHS, "--patience", EPOCHS,
             "--no-check", *(["--compile"] if able else []), "--device", limits.device]  # fmt: skip
    run = folder / "run"
    alone = watched([*HEAD, "train", *words, "--out", run])
    rate = images / seconds_an_epoch(run)
    yield Stage("head epoch", rate, "images/s", 2 * rate * K_PRODUCT / most, name, f"peak {alone.memory / 1e9:.1f} GB")
    if heads:
        yield bank_stage(folder / "bank", words, images, heads, most, name)
    rate = scored(features, run, limits.device)
    yield Stage("scoring", rate, "images/s", rate * K_PRODUCT / most, name)


def bank_stage(out: Path, words: list[object], images: int, heads: int, most: float, name: str) -> Stage:
    """Heads that train together."""
    together = watched([*HEAD, "sweep", *words, "--split", 1, "--seeds", heads, "--heads-per-pass", heads,
                        "--out", out])  # fmt: skip
    rate = images / seconds_an_epoch(out / "seed=0" / "split-1")
    return Stage(f"bank of {heads} epoch, each head", rate, "images/s", 2 * rate * K_PRODUCT / most, name,
                 f"peak {together.memory / 1e9:.1f} GB")  # fmt: skip


def seconds_an_epoch(run: Path) -> float:
    """By its log, the first epoch left out; of a bank its share."""
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        return median([float(row["seconds"]) for row in csv.DictReader(file)][1:])


def scored(features: Path, run: Path, device: str) -> float:
    """Images/s of `amnet-head score`'s loop, after a first pass."""
    collection, head = Collection(features), load_head(run, device)
    rows, kernels = np.arange(len(collection)), choose_kernels("auto", None, device, 10**9)
    return len(rows) / seconds(lambda: predict_together([head], collection, rows, [0], kernels))


def attention_stages(device: str, images: int, able: bool) -> Iterator[Stage]:
    """One step of (8), forward and backward, over K x in bfloat16: eager and compiled. K x must be read once forward
    and once backward, and its gradient written: three times its bytes is the least that must cross the memory."""
    kx = torch.randn(images, L, D, device=device).bfloat16().requires_grad_()
    M, uh = (torch.randn(size, D, device=device, requires_grad=True) for size in (L, images))
    limit = copy_rate(device) * 2  # read and written
    ways = [("eager", attend), *([("compiled", compiled_well(attend))] if able else [])]
    for name, function in ways:

        def step(function=function) -> None:  # noqa: ANN001 - as `attend`
            M.grad = uh.grad = kx.grad = None
            function(M, uh, kx).sum().backward()

        rate = 3 * kx.numel() * kx.element_size() / seconds(step, device)
        yield Stage(f"attention step, {name}", rate / 1e9, "GB/s", rate / limit, "the memory's rate")


def attend(M: torch.Tensor, uh: torch.Tensor, kx: torch.Tensor) -> torch.Tensor:
    """As a head calls it."""
    return recomputed(energies, M, uh, kx, None)
