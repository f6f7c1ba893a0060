"""The stages of extraction, each alone, and the whole beside the loop that people write today."""

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from machine import copy_rate, disk_write_rate, product_rate, seconds
from PIL import Image
from stage import Stage
from torch.utils.flop_counter import FlopCounterMode
from watched import EXTRACT, watched

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.images import decode_rgb, read_source
from extract.compute import Hardware, choose_compute, default_workers
from extract.crops import Box, ViewPlan, cut_views, plan_views
from extract.frozen_trunk import FrozenTrunk, to_device
from extract.trunk import Trunk, build_trunk
from extract.weight_source import UNTRAINED
from extract.weights import Weights, load_weights

PLAN = ViewPlan(augs=10)
SIZE = 500, 375  # pixels, as most of LaMem's
DRAWN = 64  # pictures that differ
ROWS = 64  # written and read
USUAL = 16  # images of the usual loop
HERE = Path(__file__).parent
VIEW_BYTES = 2 * int(np.prod(VIEW_SHAPE))
SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"augs": 10}, 0, "float32", "float16")


@dataclass(frozen=True)
class Limits:
    """What the machine can do at most."""

    device: str
    products: dict[str, float]  # FLOP/s by precision
    copy: float  # bytes/s in main memory
    disk: float  # bytes/s of writing

    @classmethod
    def measured(cls, device: str, precisions: Iterable[str], folder: Path) -> "Limits":
        """Here and now."""
        products = {precision: product_rate(device, precision) for precision in precisions}
        return cls(device, products, copy_rate("cpu"), disk_write_rate(folder))

    @property
    def kind(self) -> str:
        """Of device."""
        return torch.device(self.device).type


def pictures(folder: Path, count: int) -> Path:
    """A folder of drawn JPEG files of the usual size, some of them again and again."""
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:05}.jpg"
        if i >= DRAWN:
            path.hardlink_to(folder / f"{i % DRAWN:05}.jpg")
            continue
        noise = np.random.default_rng(i).integers(0, 256, (47, 63, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(SIZE).save(path, quality=90)
    return folder


def trunk_stages(limits: Limits, paths: list[tuple[str, bool]]) -> Iterator[Stage]:
    """The network alone: as it is written, and as `FrozenTrunk` runs it, by precision and whether it is compiled."""
    weights = load_weights(UNTRAINED)
    flops = flops_of_a_view(weights)
    compute = choose_compute(Hardware(limits.device))
    pixels = np.random.default_rng(0).integers(0, 256, (compute.batch_size, 224, 224, 3), np.uint8)
    plain = build_trunk(weights.variant, weights.state).to(limits.device)
    with torch.inference_mode():
        batch = to_device(pixels, limits.device)
        x = plain.normalise(batch).contiguous()
        rate = len(x) / seconds(lambda: as_written(plain, x), limits.device)
    full = limits.products["float32"]
    yield Stage("trunk as written, float32 NCHW", rate, "views/s", rate * flops / full, "float32 products")
    for precision, compiled in paths:
        trunk = FrozenTrunk(weights, replace(compute, precision=precision, compiled=compiled))
        first = trunk.warm_up()
        with torch.inference_mode():
            rate = len(batch) / seconds(lambda trunk=trunk: trunk.run(batch), limits.device)
        note = f"compiled in {first:.1f} s" if compiled else ""
        name = f"trunk, {precision}{', compiled' if compiled else ''}"
        yield Stage(name, rate, "views/s", rate * flops / limits.products[precision], f"{precision} products", note)


def as_written(trunk: Trunk, x: torch.Tensor) -> torch.Tensor:
    """The layers one after the other, channels first."""
    x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(x))))
    return trunk.layer3(trunk.layer2(trunk.layer1(x)))


def flops_of_a_view(weights: Weights) -> float:
    """Of the trunk, a product and a sum counted as two."""
    trunk = build_trunk(weights.variant, weights.state)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        trunk(torch.zeros(1, 224, 224, 3, dtype=torch.uint8))
    return counter.get_total_flops()


def picture_stages(limits: Limits, folder: Path) -> Iterator[Stage]:
    """Decoding and cutting alone, on one thread and on as many as an extraction has cores for."""
    sources = [read_source(path).data for path in sorted(folder.iterdir())[:DRAWN]]
    images = [decode_rgb(data) for data in sources]
    boxes = [plan_views(PLAN, 0, str(i), image.height, image.width) for i, image in enumerate(images)]
    cores = default_workers("cuda")
    for threads in sorted({1, cores}):
        with ThreadPoolExecutor(threads) as pool:
            decode = len(sources) / seconds(lambda pool=pool: [*pool.map(decode_rgb, sources)])
            each = seconds(lambda pool=pool: [*pool.map(cut_all, images, boxes)]) / len(images)
        cut = PLAN.views / each
        share = decode * 3 * SIZE[0] * SIZE[1] / limits.copy
        name = f"{threads} thread{'s' * (threads > 1)}"
        yield Stage(f"decode, {name}", decode, "images/s", share, "a copy of the pixels")
        yield Stage(f"cut, {name}", cut, "views/s", cut * 3 * 224**2 / limits.copy, "a copy of the pixels")


def cut_all(image: Image.Image, boxes: list[Box]) -> np.ndarray:
    """All views of an image."""
    return cut_views(image, boxes, PLAN.size)


def file_stages(limits: Limits, folder: Path) -> Iterator[Stage]:
    """Writing rows as an extraction does, checksums and syncs included; reading random views of them."""
    path, dataset = folder / "rows.h5", Dataset("bench", folder, tuple(f"{i}.jpg" for i in range(ROWS)))
    blocks = np.random.default_rng(0).random((8, *VIEW_SHAPE), np.float32).astype(np.float16)

    def fill() -> None:
        path.unlink(missing_ok=True)
        create_skeleton(path, dataset, PLAN.views, SPEC, {}, {})
        with RowWriter(path) as writer:
            for row in range(ROWS):
                for view in range(PLAN.views):
                    writer.write_view(row, view, blocks[(row + view) % 8])
                writer.finish(row, ImageFacts(), np.zeros((PLAN.views, 5), np.float32))

    rate = ROWS * PLAN.views * VIEW_BYTES / seconds(fill)
    yield Stage("write", rate / 1e9, "GB/s", rate / limits.disk, "writing a plain file")
    draw, collection = np.random.default_rng(0), Collection(path)
    rows, views = draw.integers(0, ROWS, 256), draw.integers(0, PLAN.views, 256)
    buffer = np.empty((256, *VIEW_SHAPE), np.float16)
    rate = 256 * VIEW_BYTES / seconds(lambda: collection.read(rows, views, buffer))
    path.unlink()
    yield Stage("read, random views", rate / 1e9, "GB/s", rate / limits.copy, "a copy")


def whole_stages(limits: Limits, folder: Path, bare: float, able: bool) -> Iterator[Stage]:
    """`amnet-extract` as a user types it, beside the usual loop. `bare`: views/s of the trunk alone, as it runs;
    `able`: to compile."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        words = ["--images", folder, "--limit", USUAL, "--out", Path(work) / "usual.h5", "--device", limits.device]
        usual = watched([sys.executable, HERE / "usual_extraction.py", *words])
        rate = json.loads(usual.out)["views_per_second"]
        yield Stage("usual loop", rate, "views/s", note=f"peak {usual.memory / 1e9:.1f} GB")
        for dtype in ("float16", "uint8"):
            out = Path(work) / "ours.h5"
            words = ["--dataset", "folder", "--root", folder, "--weights", UNTRAINED, "--out", out, "--dtype", dtype,
                     "--device", limits.device]  # fmt: skip
            ours = watched([*EXTRACT, *words, *(["--compile"] if able else [])])
            out.unlink()
            found = re.search(r"([\d.]+) views/s", ours.out)
            assert found, ours.out
            rate, limit = float(found[1]), re.search(r"limit: (\w+)", ours.err)
            note = f"peak {ours.memory / 1e9:.1f} GB; limit: {limit[1] if limit else '?'}"
            yield Stage(f"amnet-extract, {dtype}", rate, "views/s", rate / bare, "the trunk alone", note)
