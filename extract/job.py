"""What a request leaves to do, found by looking at the disk, before torch is loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import FAILED, PENDING
from amnet_common.collection.spec import differences, image_list_sha256
from amnet_common.collection.writer import RowWriter
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import encode_id
from amnet_common.errors import CollectionError, DatasetError, SpecError
from extract.changes import Changes, find_changes
from extract.request import AUTO, Request
from extract.weight_source import is_remembered

TRUNK = "resnet50-layer3"
PIXELS = "rgb8, exif upright, first frame, transparency over white"
MOST_NAMED = 5  # changed files named in the error


@dataclass(frozen=True)
class Job:
    """What is to do, and what of the file is known."""

    request: Request
    collection: Collection | None  # to go on with; None: to be created
    rows: tuple[int, ...]  # without features, ascending
    redo: tuple[int, ...] = ()  # with features of an image file that has changed since
    failed: int = 0  # rows in its row range that failed before and are not tried again
    changes: Changes = Changes()  # noqa: RUF009 (frozen)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the file is complete and certain to be of the request's weights: torch is not needed to say so."""
        if self.collection is None or self.rows or self.redo:
            return False
        return is_remembered(self.request.weights, self.collection.provenance)


def find_job(request: Request, planned: bool = False) -> Job:
    """Look at the file of a request, if there is one, and at the image files; `planned`: these may still be missing.

    Raises SpecError with each differing field if the file is of other settings, images or scores; DatasetError if image
    files have changed and `update` is not asked for, or none is there; CollectionError if the file is no collection.
    """
    refuse_unlike_model(request, known_settings(request))
    exists = os.path.exists(request.out)  # unlike Path.exists, False for names no system takes
    if exists and request.overwrite:
        with taken_alone(request.out):
            pass
    if not exists or request.overwrite:
        if not planned:
            refuse_missing_images(request.dataset)
        return Job(request, None, tuple(request.row_range))
    collection = Collection(request.out)
    _refuse_link(collection)
    refuse_other(request, collection)
    changes = find_changes(collection, request.dataset.image_root, request.row_range, request.rehash)
    if changes.done and not request.update:
        _refuse_changes(request, collection, changes)
    job = _rows_to_do(request, collection, changes)
    if (job.rows or job.redo) and not planned:
        refuse_missing_images(request.dataset)
    return job


def _rows_to_do(request: Request, collection: Collection, changes: Changes) -> Job:
    row_range = np.array(request.row_range, np.int64)
    status = collection.status
    again = status[row_range] == FAILED if request.retry_failed else np.isin(row_range, changes.failed) & request.update
    rows = row_range[(status[row_range] == PENDING) | again]
    return Job(
        request,
        collection,
        tuple(rows.tolist()),
        changes.done,
        failed=int((status[row_range] == FAILED).sum() - again.sum()),
        changes=changes,
    )


def refuse_other(request: Request, collection: Collection) -> None:
    """SpecError with each field that the request wants otherwise, as far as is known without torch."""
    wanted = known_settings(request)
    unlike = differences(wanted, {key: getattr(collection.spec, key) for key in wanted})
    unlike += label_differences(request.dataset, collection)
    unlike += image_list_differences(request.dataset, collection)
    refuse_unlike(collection, unlike)


def known_settings(request: Request) -> Mapping[str, object]:
    """The fields of the expected spec that are known without torch."""
    wanted: dict[str, object] = {
        "trunk": TRUNK,
        "pixels": PIXELS,
        "view_plan": request.plan.as_spec(),
        "seed": request.seed,
        "dtype": request.dtype,
    }
    if request.precision != AUTO:
        wanted["precision"] = request.precision
    if request.like:
        wanted["scales_sha256"] = request.like.spec.scales_sha256
    return wanted


def refuse_unlike_model(request: Request, wanted: Mapping[str, object]) -> None:
    """SpecError with each field in which `wanted` is not as in the collection of --like."""
    if request.like:
        unlike = differences({key: getattr(request.like.spec, key) for key in wanted}, wanted)
        if unlike:
            raise SpecError(f"--like {request.like.path}: expected its spec, found another: {'; '.join(unlike)}")


def refuse_unlike(collection: Collection, unlike: list[str]) -> None:
    """SpecError if there is any difference."""
    if unlike:
        raise SpecError(f"--out {collection.path} exists and holds another extraction: {'; '.join(unlike)}. Use the "
                        "settings it was begun with, another --out, or --overwrite to throw it away")  # fmt: skip


def refuse_other_kernels(collection: Collection, kernel_path: Mapping[str, object]) -> None:
    """SpecError if `kernel_path` is not the one that the collection was begun on."""
    unlike = differences(collection.kernel_path, kernel_path)
    if unlike:
        raise SpecError(f"--out {collection.path} was begun on another kernel path (the file's is expected, this "
                        f"command's is found): {'; '.join(unlike)}. Features would differ in their last bits: go on "
                        "where it was begun, or say --allow-other-kernels")  # fmt: skip


def image_list_differences(dataset: Dataset, collection: Collection) -> list[str]:
    """A line if the ids are not the collection's, with an example and what to do about it."""
    if dataset.ids == collection.ids:
        return []
    image_list = image_list_sha256([encode_id(id_) for id_ in dataset.ids])
    line = (f"images: expected {len(dataset.ids)} ids of the image list {image_list[:12]}, found {len(collection)} "
            f"of the image list {collection.image_list[:12]}")  # fmt: skip
    wanted, found = set(dataset.ids), set(collection.ids)
    if wanted == found:
        return [f"{line}, the same in another order"]
    if wanted > found:
        return [f"{line}, without {min(wanted - found)} and others (--only-begun leaves newer images out, --except "
                f"{collection.path} --like {collection.path} with another --out extracts only them)"]  # fmt: skip
    return [f"{line}, which has {min(found - wanted)}"]


def label_differences(dataset: Dataset, collection: Collection) -> list[str]:
    """One line for the scores, the names of the lists, and each list, where they are not the collection's."""
    if len(dataset.ids) != len(collection):
        return []  # the image list says so
    lines = [] if np.array_equal(dataset.labels, collection.labels, equal_nan=True) else ["scores: changed since"]
    if set(dataset.splits) != set(collection.splits):
        return [*lines, f"splits: expected {sorted(dataset.splits)}, found {sorted(collection.splits)}"]
    for name, split in dataset.splits.items():
        stored = collection.splits[name]
        if not (np.array_equal(split.rows, stored.rows) and np.array_equal(split.scores, stored.scores)):
            lines.append(f"split {name}: changed since")
    return lines


def taken_alone(path: Path) -> RowWriter:
    """A collection that is to be thrown away, closed to other writers.

    Raises CollectionError unless the file is a whole collection; BusyError while another process fills it.
    """
    try:
        return RowWriter(path)
    except CollectionError as error:
        raise CollectionError(f"--overwrite throws away collections only: {error}; remove the file yourself") from error


def _refuse_link(collection: Collection) -> None:
    if collection.linked:
        names = ", ".join(str(part.path) for part in collection.parts)
        raise CollectionError(f"--out {collection.path}: expected a file with features of its own, found a linked "
                              f"collection; fill its parts instead: {names}")  # fmt: skip


def _refuse_changes(request: Request, collection: Collection, changes: Changes) -> None:
    names = ", ".join(collection.ids[row] for row in changes.done[:MOST_NAMED])
    more = f" and {len(changes.done) - MOST_NAMED} more" if len(changes.done) > MOST_NAMED else ""
    raise DatasetError(f"--out {request.out}: expected the image files that it was extracted from, found "
                       f"{len(changes.done)} changed since: {names}{more}; --update extracts these anew")  # fmt: skip


def refuse_missing_images(dataset: Dataset) -> None:
    """DatasetError if no image is there (a wrong --root, not 58,741 failed rows), or a list names one by a slip."""
    if not any(is_there(dataset, id_) for id_ in dataset.ids):
        raise DatasetError(f"--dataset {dataset.name}: expected images such as {dataset.image_root / dataset.ids[0]}, "
                           f"found none of {len(dataset.ids)}; say where with --root")  # fmt: skip
    refuse_unknown_images(dataset)


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
                    f"split {name} names the unknown image {dataset.ids[row]!r}: expected a file in "
                    f"{dataset.image_root} or an image that every split names, found neither"
                )


def is_there(dataset: Dataset, id_: str) -> bool:
    """Whether the image file exists; unlike Path.exists, False for names that no system takes."""
    return os.path.exists(dataset.image_root / id_)
