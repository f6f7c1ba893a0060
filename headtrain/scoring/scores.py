"""A head's scores for every image of a collection, as arrays; and whether the head fits the collection."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from amnet_common.collection import Collection
from amnet_common.collection.joint_spec import JOINED, described, specs_in
from amnet_common.collection.layout import DONE
from amnet_common.collection.spec import differences
from amnet_common.errors import ConfigError, SpecError
from headtrain.compute.inference import predict_picks
from headtrain.features.batches import ordered_picks
from headtrain.heads.head import Head
from headtrain.heads.kernel import averages_views
from headtrain.heads.provenance import Provenance

BATCH = 64
# of the spec: what the features of a view depend on; the last is of trunks other than the default
TRUNK_FIELDS = ("trunk", "variant", "weights_sha256", "pixels", "trunk_input")
USUAL_SIZE, USUAL_RESIZE = 224, "pillow-bilinear-antialias"  # of a view plan


class Scores(NamedTuple):
    """Hold the scores of all N images of a collection; NaN where an image has no features."""

    ids: tuple[str, ...]
    score: np.ndarray  # (N,) float32
    steps: np.ndarray  # (N, T) float32; they add up to the score

    def __repr__(self) -> str:
        """Tell how many scores there are and how they lie; the arrays are `.score` and `.steps`."""
        known = self.score[~np.isnan(self.score)]
        lie = f", {known.min():.3f} to {known.max():.3f}, mean {known.mean():.3f}" if len(known) else ""
        return f"<Scores: {len(known)} of {len(self.ids)} images{lie}>"


def trunk_differences(provenance: Provenance | None, collection: Collection) -> list[str]:
    """Return a line for each field in which the trunks of a head and a collection differ, or the cutting of their
    views.

    An imported head may not tell them all: what it does not tell is not compared.
    """
    known, parts = provenance.spec if provenance else {}, collection.joined or (collection,)
    specs = specs_in(known)
    if len(specs) != len(parts):
        return [f"collections joined: expected {len(specs)}, found {len(parts)}"]
    lines = [f"{part.path}: {line}" if collection.joined else line for spec, part in zip(specs, parts, strict=True)
             for line in part_differences(spec, part)]  # fmt: skip
    if provenance and averages_views(provenance.config.head):  # those that it was fitted on
        fitted = min(fitted_views(spec, collection.views) for spec in specs)
        lines += differences({"views": fitted}, {"views": collection.views})
    return sorted(lines) if not collection.joined else lines


def part_differences(known: Mapping[str, Any], collection: Collection) -> list[str]:
    """Return a line for each field in which the trunk of one spec and that of a collection differ, or the cutting of
    their views, as far as `known` tells.
    """
    here = collection.spec.as_dict()
    wanted = {key: known[key] for key in TRUNK_FIELDS if key in known}
    found = {key: here.get(key) for key in wanted}
    if "view_plan" in known:
        wanted["view 0"], found["view 0"] = map(evaluation_of, (known["view_plan"], here["view_plan"]))
    return differences(wanted, found)


def other_parts(specs: Sequence[Mapping[str, Any]], collections: Sequence[Collection]) -> list[str]:
    """Return a line for each collection that is of another trunk than its spec, or cut otherwise. Pictures that were
    decoded otherwise are the same pictures.
    """
    return [
        f"{one.path}: {line}"
        for spec, one in zip(specs, collections, strict=True)
        for line in part_differences(spec, one)
        if not line.startswith("pixels: ")
    ]


def fitted_views(spec: Mapping[str, Any], default: int) -> int:
    """Return how many views the images had of a spec; `default` if it does not tell."""
    augs = spec.get("view_plan", {}).get("augs")
    return augs + 1 if type(augs) is int else default


def evaluation_of(view_plan: Mapping[str, Any]) -> str:
    """Tell how a view plan cuts view 0."""
    side, version = view_plan.get("short_side"), view_plan.get("version", 1)
    pixels = "" if version == 1 else f", to whole pixels (version {version})"
    size, resize = view_plan.get("size", USUAL_SIZE), view_plan.get("resize", USUAL_RESIZE)
    unusual = ("" if size == USUAL_SIZE else f", {size} pixels") + ("" if resize == USUAL_RESIZE else f", {resize}")
    return (f"the centre, short side to {side}{pixels}" if side else "the whole image, squashed") + unusual


def score_collection(head: Head, collection: Collection, view: int = 0) -> Scores:
    """Score one view of every image, every view read being compared with its checksum.

    >>> from amnet import Collection
    >>> from amnet import load_head
    >>> scores = score_collection(load_head("runs/lamem-amnet-1"), Collection("lamem.h5"))
    >>> len(scores.ids), scores.score.shape, scores.steps.shape
    (40, (40,), (40, 3))
    >>> best = scores.score.argsort()[::-1][:3]  # the rows of the three most memorable images

    Raises CollectionError for damaged features, SpecError if the head expects features of another shape.
    """
    refuse_other_shape(head, collection)
    steps = np.full((len(collection), head.outputs), math.nan, np.float32)
    rows = np.flatnonzero(collection.status == DONE)
    found = [output.steps for _, (output,) in predict_picks([head], collection, ordered_picks(rows, view, BATCH))]
    if found:
        steps[rows] = torch.cat(found).cpu().numpy()
    return Scores(collection.ids, steps.sum(1), steps)


def refuse_other_shape(head: Head, collection: Collection) -> None:
    """Raise SpecError if the head was not made for views of the collection's shape, or for other collections together:
    their channels would be taken for others.
    """
    specs = head.provenance.spec.get(JOINED, []) if head.provenance else []
    if head.provenance and collection.joined and not specs:
        raise SpecError(f"{collection.path}: expected the one collection that the head was trained on, found "
                        f"{len(collection.joined)} together; give --features of that one alone")  # fmt: skip
    if specs and len(specs) != len(collection.joined):
        raise SpecError(f"{collection.path}: expected the {len(specs)} collections that the head was trained on "
                        f"together ({'; '.join(map(described, specs))}), found {max(1, len(collection.joined))}; give "
                        "--features of each")  # fmt: skip
    if specs and (lines := other_parts(specs, collection.joined)):
        raise SpecError(f"{collection.path}: expected the collections that the head was trained on together, in their "
                        f"order ({'; '.join(map(described, specs))}), found others: {'; '.join(lines)}")  # fmt: skip
    if not fits_shape(head, collection):
        raise SpecError(f"{collection.path}: expected {head.config.locations} locations of {head.config.channels} "
                        f"channels, found {_shape(collection)}")  # fmt: skip


def fits_shape(head: Head, collection: Collection) -> bool:
    """Tell whether a head was made for views of the collection's shape."""
    return _shape(collection) == (head.config.locations, head.config.channels)


def _shape(collection: Collection) -> tuple[int, int]:
    *places, channels = collection.view_shape
    return math.prod(places), channels


def refuse_missing_view(view: int, collection: Collection) -> None:
    """Raise ConfigError if a collection has no such view."""
    if not 0 <= view < collection.views:
        raise ConfigError(f"{collection.path}: expected view {view}, found views 0 to {collection.views - 1}")
