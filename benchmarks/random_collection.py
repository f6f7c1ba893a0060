"""A uint8 collection of random codes for benchmarks: the same few blocks again, since what they are changes no time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import CHANNELS, DONE, VIEW_SHAPE
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.commands import progress
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import SplitList


def random_collection(path: Path, dataset: Dataset, views: int) -> Path:
    """The file, made and filled unless it is there; what an earlier call left unfinished is resumed."""
    if not path.exists():
        scales, plan = np.full(CHANNELS, 0.02, np.float32), {"name": "standard", "augs": views - 1}
        spec = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", plan, 0, "float32", "uint8",
                    scales_sha256(scales))  # fmt: skip
        create_skeleton(path, dataset, views, spec, {}, {}, scales)
    blocks = np.random.default_rng(0).integers(0, 255, (16, *VIEW_SHAPE), np.uint8)
    rows = np.flatnonzero(Collection(path).status != DONE)
    with RowWriter(path) as writer, progress("fill", len(rows), "images") as bar:
        for row in rows.tolist():
            for view in range(views):
                writer.write_view(row, view, blocks[(row + view) % len(blocks)])
            writer.finish(row, ImageFacts(), np.zeros((views, 5), np.float32))
            bar.update()
    return path


def with_lists(path: Path, images: int, views: int, shares: Mapping[str, float]) -> Path:
    """Such a collection with scores and lists; `shares`: how long each list is, of `images`."""
    bounds = np.cumsum([0, *(max(8, round(share * images)) for share in shares.values())])
    draw = np.random.default_rng(0)
    lists = {
        name: SplitList(np.arange(start, stop), draw.random(stop - start))
        for name, start, stop in zip(shares, bounds[:-1], bounds[1:], strict=True)
    }
    ids = tuple(f"{row}.jpg" for row in range(bounds[-1]))
    return random_collection(path, Dataset("bench", path.parent, ids, lists), views)
