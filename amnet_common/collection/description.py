"""What `amnet-cache info` says of a collection."""

import math
from collections.abc import Iterator

import numpy as np

from amnet_common.collection.layout import DONE, FAILED, PENDING
from amnet_common.collection.marks import kernel_checksum
from amnet_common.collection.reader import Collection
from amnet_common.collection.repeats import repeat_lines
from amnet_common.collection.score_names import MEMORABILITY, score_name_of
from amnet_common.collection.spec import Spec
from amnet_common.datasets.extremes import questions
from amnet_common.making import made_line


def info_lines(collection: Collection) -> Iterator[str]:
    """Yield the lines of `amnet-cache info`."""
    spec, made = collection.spec, collection.provenance
    disk = [path.stat() for path in {collection.local} | {part.path for part in collection.parts}]
    size, used = sum(d.st_size for d in disk), sum(d.st_blocks * 512 for d in disk)
    yield f"file         {collection.path}"
    for part in collection.parts if collection.linked else ():
        done, root = int((part.status == DONE).sum()), part.structure.provenance.get("image_root")
        yield f"part         {part.path}: {done} of {len(part.images)} images done, images in {root}"
    yield f"size         {size / 1e9:.2f} GB, {used / 1e9:.2f} GB on disk"
    yield f"rows         {counts(collection)}"
    if len(collection.damaged):
        yield f"damaged      {len(collection.damaged)} rows whose mark does not hold; they count as pending"
    yield f"views        {collection.views} an image, each {collection.view_shape} {collection.dtype}"
    if collection.scales is not None:
        yield clipping_line(collection)
    yield f"dataset      {made.get('dataset')}, images in {made.get('image_root')}"
    if line := made_line(made.get("made")):
        yield f"made         {line}"
    yield f"scores       {score_line(collection.labels)}"
    if (name := score_name_of(collection)) != MEMORABILITY:
        yield f"             called {name}"
    for question in questions(collection.labels):
        yield f"             {question}"
    yield from rating_lines(made.get("ratings"))
    yield f"splits       {split_line(collection)}"
    for line in repeat_lines(collection):
        yield f"repeated     {line}; --duplicates names them"
    yield f"trunk        {spec.trunk}, variant {spec.variant}, precision {spec.precision}"
    if spec.trunk_input:
        yield f"input        {input_line(spec)}"
    yield f"weights      {made.get('weights')}, sha256 {spec.weights_sha256}"
    yield f"pixels       {spec.pixels}"
    yield f"view plan    {', '.join(f'{key} {value}' for key, value in spec.view_plan.items())}"
    yield f"seed         {spec.seed}"
    yield f"fingerprint  {spec.fingerprint}"
    yield from kernel_lines(collection)


def input_line(spec: Spec) -> str:
    """Tell what a trunk other than the default takes in, and which of its tokens are no locations."""
    left = f"; class and register tokens left out: {spec.tokens_left_out}" if spec.tokens_left_out else ""
    return ", ".join(f"{key} {value}" for key, value in (spec.trunk_input or {}).items()) + left


def counts(collection: Collection) -> str:
    """Count the images by status, as text: `2000 images: 1990 done, 3 failed, 7 pending`."""
    number = numbers(collection)
    return (f"{number['images']} images: {number['done']} done, {number['failed']} failed, "
            f"{number['pending']} pending")  # fmt: skip


def numbers(collection: Collection) -> dict[str, int]:
    """Count the images of a collection by status."""
    status = collection.status
    marks = {"done": DONE, "failed": FAILED, "pending": PENDING}
    return {"images": len(collection)} | {name: int((status == mark).sum()) for name, mark in marks.items()}


def facts(collection: Collection) -> dict[str, object]:
    """Return what programs may want to know of a collection."""
    made, spec = collection.provenance, collection.spec
    return {
        **numbers(collection), "damaged": len(collection.damaged), "views": collection.views,
        "parts": len(collection.parts), "scored": int((~np.isnan(collection.labels)).sum()),
        "splits": {name: len(split.rows) for name, split in collection.splits.items()}, "dataset": made.get("dataset"),
        "image_root": made.get("image_root"), "uuid": collection.uuid, "fingerprint": spec.fingerprint,
        "spec": spec.as_dict(),
    }  # fmt: skip


def kernel_lines(collection: Collection) -> Iterator[str]:
    """Yield the kernel paths of the parts, and how many rows were computed on none of them (--allow-other-kernels)."""
    paths = {kernel_checksum(part.planes.kernel_path): part.planes.kernel_path for part in collection.parts}
    for path in paths.values():
        yield f"kernel path  {', '.join(f'{key} {value}' for key, value in path.items())}"
    others = (collection.status == DONE) & ~np.isin(collection.images["kernels"], list(paths))
    if others.any():
        yield f"             {int(others.sum())} images were computed on another kernel path: last bits may differ"


def clipping_line(collection: Collection) -> str:
    """Tell how many values of the finished rows were above their channel's range."""
    clipped = int(collection.images["clipped"].sum(dtype=np.int64))
    values = int((collection.status == DONE).sum()) * collection.views * math.prod(collection.view_shape)
    share = f" ({clipped / values:.2e} of them)" if values else ""
    return f"clipped      {clipped} values above the range of their channel's codes{share}"


def failed_lines(collection: Collection) -> Iterator[str]:
    """Yield one line for each failed image: its id and why it failed."""
    for row in np.flatnonzero(collection.status == FAILED).tolist():
        yield f"{collection.ids[row]}: {collection.error(row)}"


def score_line(labels: np.ndarray) -> str:
    """Tell how many images have a score (labels (N,), NaN for none), and the range and mean of the scores."""
    known = labels[~np.isnan(labels)]
    if not len(known):
        return "none"
    return f"{len(known)} images, {known.min():.3f} to {known.max():.3f}, mean {known.mean():.3f}"


def rating_lines(ratings: object) -> Iterator[str]:
    """Yield how many ratings the scores are the means of, and how far the raters agreed, where a table said so."""
    if not isinstance(ratings, dict):
        return
    names = {"ratings": "", "least": "at least {} an image", "most": "at most {}", "raters": "{} raters",
             "split_half_rho": "split-half rho {}", "spearman_brown": "Spearman-Brown {}"}  # fmt: skip
    known = {name: value for name in names if isinstance(value := ratings.get(name), int | float)}
    if "ratings" in known:
        more = [text.format(f"{known[name]:g}") for name, text in names.items() if text and name in known]
        yield f"ratings      {', '.join([str(known['ratings']), *more])}"


def split_line(collection: Collection) -> str:
    """Name the split lists with their lengths."""
    return ", ".join(f"{name} ({len(split.rows)})" for name, split in collection.splits.items()) or "none"
