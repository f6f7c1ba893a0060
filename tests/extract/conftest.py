"""Pictures and a trunk that costs nothing."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from PIL import Image

from amnet_common.collection.quantise import quantise
from amnet_common.datasets import Dataset, load_dataset
from extract.cli import main
from extract.compute import Compute
from extract.frozen_trunk import Encoded
from extract.variants import TORCHVISION
from extract.weights import Weights


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth colour picture without symmetry: a gradient with a few rectangles."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    pixels = np.stack([255 * x, 255 * y, 127 + 127 * np.sin(3 * x + 5 * y + seed)], axis=-1).astype(np.uint8)
    for top, left, value in np.random.default_rng(seed).integers(0, 200, (6, 3)):
        pixels[top * height // 256 :, left * width // 256 :, value % 3] = value
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Dataset]:
    """pictures(6, broken=(1, 3)) -> a folder dataset of six pictures, some of them unreadable.

    `kind` BMP: all of one size, in pixels and in bytes.
    """

    def make(count: int, broken: tuple[int, ...] = (), kind: str = "PNG", name: str = "pictures") -> Dataset:
        root = tmp_path / name
        root.mkdir()
        for i in range(count):
            width = 64 if kind == "BMP" else 40 + 7 * i
            data = b"no picture" if i in broken else encoded(picture(width, 60, seed=i), kind)
            (root / f"{i:03}.{kind.lower()}").write_bytes(data)
        return load_dataset("folder", root)

    return make


class PatchTrunk:
    """In place of a FrozenTrunk: colour means of 16x16 patches, repeated over the channels; remembers its batches."""

    views = 0  # that all of them have got

    def __init__(self, weights: Weights | None = None, compute: Compute | None = None) -> None:
        self.weights, self.compute = weights, compute
        self.scales: np.ndarray | None = None
        self.batches: list[int] = []

    def quantise_by(self, scales: np.ndarray) -> None:
        self.scales = scales

    def warm_up(self) -> float:
        return 0.0

    def __call__(self, pixels: np.ndarray) -> Encoded:
        self.batches.append(len(pixels))
        PatchTrunk.views += len(pixels)
        means = pixels.reshape(-1, 14, 16, 14, 16, 3).mean((2, 4), dtype=np.float32)  # (n, 14, 14, 3)
        features = np.tile(means, 342)[..., :1024].astype(np.float16)
        finite, clipped = np.ones(len(pixels), bool), np.zeros(len(pixels), np.int64)
        if self.scales is None:
            return Encoded(features, clipped, finite)
        codes = [quantise(view.astype(np.float32), self.scales) for view in features]
        return Encoded(np.array([code for code, _ in codes]), np.array([count for _, count in codes]), finite)


@pytest.fixture
def trunk() -> PatchTrunk:
    return PatchTrunk()


def light_weights(source: str, seed: int = 0, expected: object = None) -> Weights:  # noqa: ARG001 - as the real one
    """One tensor in place of a network: of the file `source`, or of the source's name and the seed."""
    if Path(source).is_file():
        return Weights(Path(source).name, TORCHVISION, safetensors.torch.load_file(source))
    return Weights(source, TORCHVISION, {"w": torch.tensor([float(sum(map(ord, source))), float(seed)])})


@dataclass
class Extracted:
    """What a command of `amnet-extract` gave."""

    status: int
    stdout: str
    stderr: str
    views: int  # that went through the trunk


@pytest.fixture
def extract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Extracted]:
    """extract(dataset, "--shard", "1/2") -> the whole command in its own folder, with a trunk that costs nothing.

    `dataset`: as `pictures` makes it; --out is t.h5 of the folder where nothing else is said.
    """
    monkeypatch.setattr("extract.opening.FrozenTrunk", PatchTrunk)
    monkeypatch.setattr("extract.opening.load_weights", light_weights)
    monkeypatch.setattr("extract.planning.PROBE_SECONDS", 0.001)
    monkeypatch.chdir(tmp_path)

    def run(dataset: Dataset, *options: object, layout: str = "folder") -> Extracted:
        defaults = {"--out": "t.h5", "--weights": "untrained", "--augs": "1"}
        given = [f"{option}" for option in options]
        if "--like" in given:
            del defaults["--augs"]
        args = ["--dataset", layout, "--root", str(dataset.image_root)]
        args += [word for pair in defaults.items() if pair[0] not in given for word in pair]
        before = PatchTrunk.views
        result = CliRunner().invoke(main, [*args, *given], catch_exceptions=False)
        return Extracted(result.exit_code, result.stdout, result.stderr, PatchTrunk.views - before)

    return run


def stored(path: str | Path) -> dict[str, np.ndarray]:
    """What stands in the file of each table that changes, by h5py."""
    with h5py.File(path, locking=False) as file:
        return {name: file[name][:] for name in ("segments/0000", "images", "views", "checksums")}


@pytest.fixture
def unlike_rows() -> Callable[[str, str], list[int]]:
    """unlike_rows("a.h5", "b.h5") -> rows of which any byte differs: features, mark, boxes or checksums."""

    def compare(a: str | Path, b: str | Path) -> list[int]:
        one, two = stored(a), stored(b)
        rows = range(len(one["images"]))
        return [row for row in rows if any(one[name][row].tobytes() != two[name][row].tobytes() for name in one)]

    return compare


@pytest.fixture
def draw() -> Callable[..., Path]:
    """draw(path, seed=5, keep_time=False): another picture at `path`, a BMP or PNG of 64x60 pixels."""

    def write(path: Path, seed: int = 99, keep_time: bool = False, size: tuple[int, int] = (64, 60)) -> Path:
        before = path.stat() if keep_time else None
        path.write_bytes(encoded(picture(*size, seed=seed), path.suffix[1:].upper()))
        if before:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return path

    return write


@pytest.fixture
def flip() -> Callable[[Path, int], None]:
    """flip(path, offset): one bit of that byte becomes the other."""

    def toggle(path: Path, offset: int) -> None:
        with open(path, "r+b") as file:
            file.seek(offset)
            value = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([value ^ 4]))

    return toggle
