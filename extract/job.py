"""What an extraction is to do: spec, rows, whether the file is new or begun; decided before computing."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import amnet_common
from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import encode_id
from amnet_common.errors import ConfigError, DatasetError, SpecError
from amnet_common.layout import DONE, FAILED, PENDING
from amnet_common.skeleton import create_skeleton
from amnet_common.spec import Spec, differences, roster_sha256, spec_differences
from extract.compute import Compute
from extract.crops import ViewPlan
from extract.weights import Weights

TRUNK = "resnet50-layer3"
PIXELS = "rgb8, exif upright, first frame, transparency over white"


@dataclass(frozen=True)
class Job:
    """One extraction, ready to run."""

    path: Path
    rows: tuple[int, ...]  # still to do, ascending
    done: int  # rows of this command's range done before
    failed: int  # rows of this command's range that failed before and are not tried again
    total: int  # N
    beyond: int  # rows still pending behind this command's range


def make_spec(weights: Weights, plan: ViewPlan, seed: int, compute: Compute) -> Spec:
    """The spec of the collection that these choices give."""
    return Spec(
        trunk=TRUNK,
        variant=weights.variant.name,
        weights_sha256=weights.sha256,
        pixels=PIXELS,
        view_plan=plan.as_spec(),
        seed=seed,
        precision=compute.precision,
        dtype="float16",
    )


def require_images(dataset: Dataset) -> None:
    """DatasetError if none of the images is there: a wrong --root, not 58,741 failed rows."""
    if not any(is_there(dataset, id_) for id_ in dataset.ids):
        raise DatasetError(f"--dataset {dataset.name}: wanted images such as {dataset.image_root / dataset.ids[0]}, "
                           f"found none of {len(dataset.ids)}; say where with --root")  # fmt: skip


def refuse_unknown_images(dataset: Dataset) -> None:
    """DatasetError for an image that some splits leave out and that is no file either: a slip in a list.

    A missing file that every split names is a gap in the images, and becomes a failed row.
    """
    numbers = {name.rpartition("_")[2] for name in dataset.splits}
    named = {number: np.zeros(len(dataset.ids), bool) for number in numbers}
    for name, split in dataset.splits.items():
        named[name.rpartition("_")[2]][split.rows] = True
    left_out = ~np.all(list(named.values()), axis=0)
    for name, split in dataset.splits.items():
        for row in split.rows[left_out[split.rows]].tolist():
            if not is_there(dataset, dataset.ids[row]):
                raise DatasetError(
                    f"split {name} names the unknown image {dataset.ids[row]!r}: wanted a file in "
                    f"{dataset.image_root} or an image that every split names, found neither"
                )


def is_there(dataset: Dataset, id_: str) -> bool:
    """Whether the image file exists; unlike Path.exists, False for names that no system takes."""
    return os.path.exists(dataset.image_root / id_)


def open_job(
    path: Path,
    dataset: Dataset,
    spec: Spec,
    kernel_path: Mapping[str, object],
    weights: str,
    limit: int | None,
    allow_other_kernels: bool = False,
    retry_failed: bool = False,
) -> Job:
    """Create the collection, or go on with the one that is there.

    Raises SpecError, with each differing field, if the one that is there is of other settings or images, or if rows
    are left to do and would be computed by other kernels; OutputError if it cannot be created.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: wanted 1 or more, found {limit}")
    if os.path.exists(path):  # unlike Path.exists, False for names that no system takes
        collection = Collection(path)
        _refuse_other(collection, dataset, spec)
        status = np.where(retry_failed & (collection.status == FAILED), PENDING, collection.status)
        if PENDING in status[:limit] and not allow_other_kernels:
            _refuse_other_kernels(collection, kernel_path)
    else:
        views = 1 + int(spec.view_plan["augs"])
        create_skeleton(path, dataset, views, spec, kernel_path, _provenance(dataset, weights))
        status = np.full(len(dataset.ids), PENDING)
    reach = status[:limit]
    rows = tuple(int(row) for row in np.flatnonzero(reach == PENDING))
    beyond = int((status[len(reach) :] == PENDING).sum())
    return Job(path, rows, int((reach == DONE).sum()), int((reach == FAILED).sum()), len(status), beyond)


def _provenance(dataset: Dataset, weights: str) -> Mapping[str, object]:
    """Where a collection came from: remembered for people, never compared."""
    return {
        "dataset": dataset.name,
        "image_root": str(dataset.image_root.resolve()).encode("utf-8", "backslashreplace").decode(),
        "weights": weights,
        "amnet": amnet_common.__version__,
        "python": sys.version.split()[0],
    }


def _refuse_other(collection: Collection, dataset: Dataset, spec: Spec) -> None:
    unlike = spec_differences(spec, collection.spec)
    roster = roster_sha256([encode_id(id_) for id_ in dataset.ids])
    unlike += label_differences(dataset, collection)
    if roster != collection.roster:
        unlike.append(f"images: wanted {len(dataset.ids)} ids of roster {roster[:12]}, "
                      f"found {len(collection)} of roster {collection.roster[:12]}")  # fmt: skip
    if unlike:
        raise SpecError(f"--out {collection.path} exists and holds another extraction: {'; '.join(unlike)}. "
                        "Use the settings it was begun with, or another --out")  # fmt: skip


def label_differences(dataset: Dataset, collection: Collection) -> list[str]:
    """One line for the scores, the names of the lists, and each list, where they are not the collection's."""
    if len(dataset.ids) != len(collection):
        return []  # the roster says so
    lines = [] if np.array_equal(dataset.labels, collection.labels, equal_nan=True) else ["scores: changed since"]
    if set(dataset.splits) != set(collection.splits):
        return [*lines, f"splits: wanted {sorted(dataset.splits)}, found {sorted(collection.splits)}"]
    for name, split in dataset.splits.items():
        stored = collection.splits[name]
        if not (np.array_equal(split.rows, stored.rows) and np.array_equal(split.scores, stored.scores)):
            lines.append(f"split {name}: changed since")
    return lines


def _refuse_other_kernels(collection: Collection, kernel_path: Mapping[str, object]) -> None:
    unlike = differences(collection.kernel_path, kernel_path)
    if unlike:
        raise SpecError(f"--out {collection.path} was begun on another kernel path (the file's is wanted, this "
                        f"command's is found): {'; '.join(unlike)}. Features would differ in their last bits: go on "
                        "where it was begun, or say --allow-other-kernels")  # fmt: skip
