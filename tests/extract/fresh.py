"""A collection compared with a fresh extraction of the same folder, byte for byte."""

import os

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, FAILED


def assert_as_fresh(path, root, extract, *options) -> None:
    """Whatever a fresh extraction of `root` holds, the collection at `path` holds too, and nothing else."""

    class Here:
        image_root = root

    fresh = f"{path}.fresh"
    extract(Here, "--out", fresh, *(options or ("--augs", "0")))
    try:
        assert_equal(Collection(path), Collection(fresh))
    finally:
        os.unlink(fresh)


def assert_equal(one: Collection, two: Collection) -> None:
    """Ids, marks, errors, file facts, boxes, checksums and every byte of the features are the same."""
    assert one.ids == two.ids
    np.testing.assert_array_equal(one.status, two.status)
    assert [one.error(row) for row in range(len(one))] == [two.error(row) for row in range(len(two))]
    np.testing.assert_array_equal(one.labels, two.labels)
    marked = np.isin(two.status, (DONE, FAILED))
    for name in ("sha256", "size", "width", "height", "clipped", "kernels"):
        np.testing.assert_array_equal(one.images[name][marked], two.images[name][marked], name)
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.checksums, two.checksums)
    rows = np.flatnonzero(two.status == DONE)
    for view in range(two.views):
        assert one.read(rows, view, check=True).tobytes() == two.read(rows, view, check=True).tobytes()
