"""Pictures and a trunk that costs nothing."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amnet_common.datasets import Dataset, load_dataset


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
    """pictures(6, broken=(1, 3)) -> a folder dataset of six pictures, some of them unreadable."""

    def make(count: int, broken: tuple[int, ...] = ()) -> Dataset:
        root = tmp_path / "pictures"
        root.mkdir()
        for i in range(count):
            data = b"no picture" if i in broken else encoded(picture(40 + 7 * i, 60, seed=i), "PNG")
            (root / f"{i:03}.png").write_bytes(data)
        return load_dataset("folder", root)

    return make


def mean_trunk(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, 224, 224, 3) -> float16 (n, 14, 14, 1024): colour means of 16x16 patches, for a trunk."""
    means = pixels.reshape(-1, 14, 16, 14, 16, 3).mean((2, 4), dtype=np.float32)  # (n, 14, 14, 3)
    return np.tile(means, 342)[..., :1024].astype(np.float16)


@pytest.fixture
def trunk() -> Callable[[np.ndarray], np.ndarray]:
    return mean_trunk
