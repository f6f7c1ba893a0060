"""Collections beside those of float16 features: uint8 codes, and parts whose features tell where they come from."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.quantise import quantise, scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset


@pytest.fixture
def scales() -> np.ndarray:
    """(1024,) float32; the first channels clip the features of `make_collection`, which lie below 1."""
    return np.linspace(0.002, 0.006, VIEW_SHAPE[-1], dtype=np.float32)


@pytest.fixture
def make_uint8(tmp_path, spec, scales, make_collection) -> Callable[..., Path]:
    """make(ids, done=(rows), name=.., **dataset fields) -> path of a collection of codes, two views an image."""
    coded = dataclasses.replace(spec, dtype="uint8", scales_sha256=scales_sha256(scales))

    def make(ids=("a.jpg", "b.jpg", "c.jpg"), done=(0, 1, 2), name="codes.h5", **fields) -> Path:
        path = tmp_path / name
        create_skeleton(path, Dataset("test", tmp_path, tuple(ids), **fields), 2, coded, {}, {}, scales)
        with RowWriter(path) as writer:
            for row in done:
                views = [quantise(make_collection.features_of(row, view), scales) for view in range(2)]
                for view, (codes, _) in enumerate(views):
                    writer.write_view(row, view, codes)
                writer.finish(row, ImageFacts(), np.zeros((2, 5)), sum(clipped for _, clipped in views))
        return path

    return make


@pytest.fixture
def fill() -> Callable[[Path, Mapping[int, float]], None]:
    """fill(path, {row: number}): both views of the row hold that number everywhere, the second with 0.5 added."""

    def fill_rows(path: Path, numbers: Mapping[int, float]) -> None:
        with RowWriter(path) as writer:
            for row, number in numbers.items():
                for view in range(2):
                    writer.write_view(row, view, np.full(VIEW_SHAPE, number + view / 2, np.float16))
                writer.finish(row, ImageFacts(width=row + 1), np.full((2, 5), row))

    return fill_rows


@pytest.fixture
def make_part(make_collection, fill) -> Callable[..., Path]:
    """make("one.h5", {"a": 1, "b": None}) -> path; image a is done and its features say 1, image b is pending."""

    def make(name: str, numbers: Mapping[str, float | None], **fields) -> Path:
        path = make_collection(ids=list(numbers), name=name, **fields)
        fill(path, {row: number for row, number in enumerate(numbers.values()) if number is not None})
        return path

    return make
