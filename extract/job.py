"""What a request leaves to do, decided from what is there (pure): what differs, what is refused, which rows are left.

`decide` needs no torch; `refuse_other_features` is asked once trunk and kernels are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import FAILED, PENDING
from amnet_common.collection.spec import Spec, differences, image_list_sha256, spec_differences
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import encode_id
from amnet_common.errors import CollectionError, DatasetError, SpecError
from extract.changes import Changes
from extract.crops import of_version, version_of
from extract.found import Found, Images
from extract.request import AUTO, Request
from extract.trunk_description import USUAL

TRUNK = USUAL
PIXELS = "rgb8, colour profile to sRGB, exif upright, first frame, transparency over white"
ANEW = "the settings it was begun with, another --out, or --overwrite to throw it away"
RELABEL = ("amnet-cache relabel {path} --labels TABLE --out NEW.h5 to give its features other scores and lists, which "
           "want no extraction; to go on filling it, those it was begun with")  # fmt: skip
FOLLOW = "; or --sync, which keeps a collection in step with a folder or table"
MOST_NAMED = 5  # changed files named in the error


@dataclass(frozen=True)
class Job:
    """Hold what is to do, and what of the file is known."""

    request: Request
    collection: Collection | None  # to be resumed; None: to be created
    rows: tuple[int, ...]  # without features, ascending
    redo: tuple[int, ...] = ()  # with features of an image file that has changed since
    failed: int = 0  # rows of its row range that failed before and are not tried again
    changes: Changes = Changes()  # noqa: RUF009 (frozen)
    missing: frozenset[int] = field(
        default=frozenset(), compare=False
    )  # of `rows`, those whose image files are not there: they can only fail

    @property
    def images(self) -> int:
        """Return how many images there are to extract."""
        return len(self.rows) + len(self.redo)

    @property
    def complete(self) -> bool:
        """Tell whether the file is there and nothing is left to do, if it is of the request's weights."""
        return self.collection is not None and not self.images


def decide(request: Request, found: Found, planned: bool = False) -> Job:
    """Decide what a request leaves to do; `planned`: the image files may still be missing.

    Raises SpecError with each differing field if the file is of other settings, images or scores; DatasetError if image
    files have changed and `update` is not asked for, or none is there; CollectionError if the file is a link.
    """
    request = with_known_version(request, found.collection)
    refuse_unlike_model(request, known_settings(request))
    if found.collection is None:
        job = Job(request, None, tuple(request.row_range))
    else:
        refuse_link(request, found.collection)
        refuse_other(request, found.collection)
        refuse_changes(request, found.collection, found.changes)
        job = rows_to_do(request, found.collection, found.changes)
    if not job.images and job.collection is not None:
        return job
    if not planned:
        refuse_missing_images(request.dataset, found.images)
    return replace(job, missing=found.images.missing.intersection(job.rows))


def with_known_version(request: Request, collection: Collection | None) -> Request:
    """Return the request with its plan in the version of the file that is there, or of --like, if any will do."""
    for known in (collection, request.like):
        if known and request.any_version and known.spec.view_plan.get("name") == request.plan.name:
            version = version_of(known.spec.view_plan)
            return replace(request, plan=of_version(request.plan, version)) if version else request
    return request


def rows_to_do(request: Request, collection: Collection, changes: Changes) -> Job:
    """Find the rows of the row range that have no features yet, or are to be extracted again."""
    row_range = np.array(request.row_range, np.int64)
    status = collection.status
    again = status[row_range] == FAILED if request.retry_failed else np.isin(row_range, changes.failed) & request.update
    rows = row_range[(status[row_range] == PENDING) | again]
    failed = int((status[row_range] == FAILED).sum() - again.sum())
    return Job(request, collection, tuple(rows.tolist()), changes.done, failed, changes)


def known_settings(request: Request) -> Mapping[str, object]:
    """Return the fields of the request's spec that are known without torch."""
    wanted: dict[str, object] = {
        "trunk": request.trunk.name,
        "pixels": PIXELS,
        "view_plan": request.plan.as_spec(),
        "seed": request.seed,
        "dtype": request.dtype,
    }
    if request.precision != AUTO:
        wanted["precision"] = request.precision
    if request.variant:
        wanted["variant"] = request.variant
    if request.like:
        wanted["scales_sha256"] = request.like.spec.scales_sha256
    return wanted


def refuse_other(request: Request, collection: Collection) -> None:
    """Raise SpecError with each field in which the file differs from the request, as far as is known without torch."""
    wanted = known_settings(request)
    unlike = differences(wanted, {key: getattr(collection.spec, key) for key in wanted})
    labels, images = label_differences(request.dataset, collection), image_list_differences(request.dataset, collection)
    cure = RELABEL if labels and not (unlike or images) else ANEW + FOLLOW if images else ANEW
    refuse_unlike(collection, [*unlike, *labels, *images], cure)


def refuse_other_features(job: Job, collection: Collection, spec: Spec, kernel_path: Mapping[str, Any]) -> None:
    """Raise SpecError with each field in which the features of this command would differ from those in the file.

    Kernels may differ where nothing is left to compute, or with `allow_other_kernels`.
    """
    refuse_unlike(collection, spec_differences(spec, collection.spec))
    if job.images and not job.request.allow_other_kernels:
        refuse_other_kernels(collection, kernel_path)


def refuse_unlike_model(request: Request, wanted: Mapping[str, object]) -> None:
    """Raise SpecError with each field in which `wanted` is not as in the collection of --like."""
    if request.like:
        known = request.like.spec.as_dict()
        unlike = differences({key: known.get(key) for key in wanted}, wanted)
        if unlike:
            option = "--out" if request.follows else "--like"
            raise SpecError(f"{option} {request.like.path}: expected its spec, found another: {'; '.join(unlike)}")


def refuse_unlike(collection: Collection, unlike: list[str], cure: str = ANEW) -> None:
    """Raise SpecError if `unlike` names any difference; `cure`, with the file's name put in, says what to do."""
    if unlike:
        raise SpecError(f"--out {collection.path} exists and holds another extraction: {'; '.join(unlike)}. Use "
                        f"{cure.format(path=collection.path)}")  # fmt: skip


def refuse_other_kernels(collection: Collection, kernel_path: Mapping[str, object]) -> None:
    """Raise SpecError if `kernel_path` is not the one that the collection was begun on."""
    unlike = differences(collection.kernel_path, kernel_path)
    if unlike:
        raise SpecError(f"--out {collection.path} was begun on another kernel path (the file's is expected, this "
                        f"command's is found): {'; '.join(unlike)}. Features would differ in their last bits: go on "
                        "where it was begun, or say --allow-other-kernels")  # fmt: skip


def image_list_differences(dataset: Dataset, collection: Collection) -> list[str]:
    """Return a line if the ids are not the collection's, with an example and what to do about it."""
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
    """Return a line for the scores, the names of the split lists, and each list, where they are not as in the file."""
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


def refuse_link(request: Request, collection: Collection) -> None:
    """Raise CollectionError for a linked collection, which has no features of its own to fill."""
    if collection.linked:
        names = ", ".join(str(part.path) for part in collection.parts)
        raise CollectionError(f"--out {request.out}: expected a file with features of its own, found a linked "
                              f"collection; fill its parts instead: {names}; --sync goes on with one that follows a "
                              "folder")  # fmt: skip


def refuse_changes(request: Request, collection: Collection, changes: Changes) -> None:
    """Raise DatasetError if image files with features have changed, unless `update` is asked for."""
    if changes.done and not request.update:
        names = ", ".join(collection.ids[row] for row in changes.done[:MOST_NAMED])
        more = f" and {len(changes.done) - MOST_NAMED} more" if len(changes.done) > MOST_NAMED else ""
        raise DatasetError(
            f"--out {request.out}: expected the image files that it was extracted from, found "
            f"{len(changes.done)} changed since: {names}{more}; --update extracts these anew"
        )


def refuse_missing_images(dataset: Dataset, images: Images) -> None:
    """Raise DatasetError if no image is there (a wrong --root, not 58,741 failed rows), or a split list has a slip."""
    if not images.any:
        raise DatasetError(f"--dataset {dataset.name}: expected images such as {dataset.image_root / dataset.ids[0]}, "
                           f"found none of {len(dataset.ids)}; say where with --root")  # fmt: skip
    if images.unknown:
        name, id_ = images.unknown
        raise DatasetError(f"split {name} names the unknown image {id_!r}: expected a file in {dataset.image_root} or "
                           "an image that every split names, found neither")  # fmt: skip
