"""Several collections of the same images as one: at each location their channels stand one after the other.

`amnet-cache link` puts images of one spec one after the other; this puts features of several specs beside each other.
Nothing is written: each collection is read as it is, row by row of its own, found by the image's id.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.agreeing import agreed_labels, agreed_lists, is_silent, rows_of
from amnet_common.collection.grids import pooled_to
from amnet_common.collection.id_reading import encoded
from amnet_common.collection.joint_spec import JointSpec, joint_spec
from amnet_common.collection.layout import DONE, FAILED, PENDING, image_dtype
from amnet_common.collection.quantise import dequantise
from amnet_common.collection.reader import Collection
from amnet_common.collection.row_tables import GatheredRecords, GatheredRows
from amnet_common.collection.spec import differences, image_list_sha256
from amnet_common.datasets.records import encode_id
from amnet_common.errors import CollectionError

SOME = 16  # views of one collection on their way into the common buffer: 6 MB of float16, which caches hold


class JoinedCollection(Collection):
    """Read several collections of the same images as one: x (n, h, w, D_1 + D_2 + ...), in the order that is given.

    Rows are the images of the first collection in its order, then those that others add; one that a collection lacks,
    or has no features of, has none here. View v is view v of each, as far as all have views. Where grids differ, finer
    ones are averaged by area to the coarsest. All float16, or all uint8, of one grid stay as they are stored; else
    features are float32. Scores and lists must be the same. File facts, boxes and provenance are those of the first
    collection that has an image. `checksums` are those of all of them, (N, V K).

    Attributes beside those of Collection: `joined`, the K collections; `notes`, what is to be said of how they differ.

    Raises CollectionError for fewer than two collections, two of one spec, no image in common, or other scores or lists
    of the same images.
    """

    def __init__(self, collections: Sequence[Collection]) -> None:
        self.joined = tuple(collections)
        self.threads = max((one.threads for one in collections), default=1)
        _refuse_alike(self.joined)
        first = self.joined[0]
        self.local = self.path = Path(" + ".join(str(one.path) for one in self.joined))
        self._rows = rows_of(self.joined)
        self.ids = self._rows.ids
        self.labels = agreed_labels(self.joined, self._rows)
        self.splits = agreed_lists(self.joined, self._rows)
        self.views = min(one.views for one in self.joined)
        self.uuid = hashlib.sha256(" ".join(one.uuid for one in self.joined).encode()).hexdigest()[:32]
        raw_ids = [encode_id(id_) for id_ in self.ids]
        self.image_list, self._image_dtype = image_list_sha256(raw_ids), image_dtype(max(map(len, raw_ids)))
        self.linked, self.parts = True, [part for one in self.joined for part in one.parts]
        self.kernel_path, self.provenance = first.kernel_path, _provenance(self.joined)
        self._describe_features()
        self._gather()
        self.notes = tuple(_notes(self))

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files of the collections, in their order."""
        return tuple(one.path for one in self.joined)

    def reopened(self) -> "JoinedCollection":
        """Return the same collections, opened anew."""
        return JoinedCollection([one.reopened() for one in self.joined])

    def refresh(self) -> None:
        """Read the marks of all collections again."""
        for one in self.joined:
            one.refresh()
        self._gather()

    def __repr__(self) -> str:
        done = int((self.status == DONE).sum())
        return (f"JoinedCollection({', '.join(repr(str(one.path)) for one in self.joined)}: {done} of {len(self)} "
                f"images done, {self.views} views, {self.dtype})")  # fmt: skip

    def __reduce__(self) -> tuple[Callable[..., "JoinedCollection"], tuple[Any, ...]]:
        return JoinedCollection, (self.joined,)

    def error(self, row: int) -> str:
        """Tell why a failed row failed, and where; return an empty text for other rows."""
        said = ((one.path, one.error(number)) for one, number in self._with_image(row))
        return "; ".join(f"{path}: {error}" for path, error in said if error) if self.status[row] == FAILED else ""

    def image_path(self, row: int, root: Any = None) -> Path:  # noqa: ANN401 - as Collection's
        """Return where the image of a row is, as the first collection that has it says."""
        one, number = next(self._with_image(row))
        return one.image_path(number, root)

    def _with_image(self, row: int) -> Iterator[tuple[Collection, int]]:
        """Each collection that has the image of a row, with its row there."""
        for one, there in zip(self.joined, self._rows.there, strict=True):
            if there[row] >= 0:
                yield one, int(there[row])

    def _describe_features(self) -> None:
        """Shape, dtype, scales and spec of what `read` returns."""
        shapes = [one.view_shape for one in self.joined]
        self._grid = (min(shape[0] for shape in shapes), min(shape[1] for shape in shapes))
        one_grid = all(shape[:2] == self._grid for shape in shapes)
        dtypes = {one.dtype for one in self.joined}
        self._as_stored = one_grid and len(dtypes) == 1
        self.dtype = dtypes.pop() if self._as_stored else np.dtype(np.float32)
        scales = [one.scales for one in self.joined if one.scales is not None]
        self.scales = np.concatenate(scales) if self._as_stored and scales else None
        ends = np.cumsum([0, *(shape[2] for shape in shapes)]).tolist()
        self._channels = [slice(start, end) for start, end in pairwise(ends)]
        self.spec: JointSpec = joint_spec([one.spec for one in self.joined], self.scales, self.dtype.name)
        self.view_shape = self.spec.shape
        self.view_bytes = int(np.prod(self.view_shape)) * self.dtype.itemsize

    def _gather(self) -> None:
        """The tables of the collections in the order of this one's rows."""
        n, V = len(self.ids), self.views
        self.checksums = np.zeros((n, V * len(self.joined)), np.uint32)
        failed, done = np.zeros(n, bool), np.ones(n, bool)
        part_of, own = np.zeros(n, np.int64), np.zeros(n, np.int64)  # whose facts and boxes count
        for k in reversed(range(len(self.joined))):  # so that the first has the last word
            one, here = self.joined[k], self._rows.here[k]
            status = np.full(n, PENDING, np.uint8)
            status[here] = one.status
            failed, done = failed | (status == FAILED), done & (status == DONE)
            part_of[here], own[here] = k, np.arange(len(here))
            self.checksums[here, V * k : V * (k + 1)] = one.checksums[:, :V]
        self.status = np.select([done, failed], [DONE, FAILED], PENDING).astype(np.uint8)
        ids = partial(encoded, self.ids, self._image_dtype["id"])
        records = [one.images for one in self.joined]
        self.images = GatheredRecords(self._image_dtype, records, part_of, own, {"status": self.status}, ids)
        self.boxes = GatheredRows([one.boxes for one in self.joined], part_of, own, V)
        self.damaged = np.empty(0, np.int64)

    def _read_into(self, buffer: np.ndarray, rows: np.ndarray, views: np.ndarray, check: bool) -> None:
        for one, there, channels in zip(self.joined, self._rows.there, self._channels, strict=True):
            for start in range(0, len(rows), SOME):
                some = slice(start, start + SOME)
                found = one.read(there[rows[some]], views[some], check=check)
                if not self._as_stored:
                    found = pooled_to(dequantise(found, one.scales), self._grid)
                buffer[some, ..., channels] = found


def opened(paths: Sequence[Path]) -> Collection:
    """Open one collection, or several as one. Raises CollectionError as they do."""
    collections = [Collection(path) for path in paths]
    return collections[0] if len(collections) == 1 else JoinedCollection(collections)


def _refuse_alike(collections: Sequence[Collection]) -> None:
    """Raise CollectionError for fewer than two collections, and for two of one spec."""
    if len(collections) < 2:
        raise CollectionError(f"expected two collections or more to join, found {len(collections)}")
    known: dict[str, Collection] = {}
    for one in collections:
        other = known.setdefault(one.spec.fingerprint, one)
        if other is not one:
            raise CollectionError(f"{one.path}: expected features of another trunk or other views than those of "
                                  f"{other.path}, found the same spec; amnet-cache link puts images of one spec one "
                                  "after the other")  # fmt: skip


def _provenance(collections: Sequence[Collection]) -> dict[str, Any]:
    """What is known of the making: of the first collection that has scores or lists; the weights of all."""
    weights = [str(one.provenance.get("weights") or "unknown") for one in collections]
    told = next((one for one in collections if not is_silent(one)), collections[0])
    return {**told.provenance, "weights": " + ".join(weights), "joined": [str(one.path) for one in collections]}


def _notes(joined: JoinedCollection) -> Iterator[str]:
    """What is to be said of how the collections differ."""
    first, *others = joined.joined
    there, *there_of_others = joined._rows.there
    for one, rows in zip(joined.joined, joined._rows.there, strict=True):
        lacking = np.flatnonzero(rows < 0)
        if len(lacking):
            yield (f"{one.path} lacks {len(lacking)} of {len(joined)} images, such as {joined.ids[lacking[0]]}: they "
                   "count as images without features")  # fmt: skip
    for one, rows in zip(others, there_of_others, strict=True):
        both = np.flatnonzero((there >= 0) & (rows >= 0))
        files = first.images["sha256"][there[both]], one.images["sha256"][rows[both]]
        known = files[0].any(1) & files[1].any(1)
        unlike = both[known & (files[0] != files[1]).any(1)]
        if len(unlike):
            yield (f"{len(unlike)} of {len(both)} images are other files in {one.path} than in {first.path}, such as "
                   f"{joined.ids[unlike[0]]}: the same pictures written anew, or others of their names")  # fmt: skip
        if lines := _unlike_views(first, one):
            yield (f"{first.path} and {one.path} cut their views otherwise ({'; '.join(lines)}): view v of the one "
                   f"stands beside view v of the other, v in 0..{joined.views - 1}")  # fmt: skip
    if joined.spec.pooled:
        grids = ", ".join("x".join(map(str, one.view_shape[:2])) for one in joined.joined)
        yield f"grids of {grids}: features are averaged to {'x'.join(map(str, joined.view_shape[:2]))}"
    if not all(map(is_silent, joined.joined)):
        for one in filter(is_silent, joined.joined):
            yield f"{one.path} has neither scores nor lists: those of the others hold"


def _unlike_views(first: Collection, other: Collection) -> list[str]:
    """In what two collections cut their views otherwise; of two plans their names are enough."""
    plan, other_plan = first.spec.view_plan, other.spec.view_plan
    names = [str(one.get("name", "unknown")) for one in (plan, other_plan)]
    unlike = names[0] != names[1]
    lines = [f"plans {' and '.join(names)}"] if unlike else differences({"plan": plan}, {"plan": other_plan})
    lines += differences({"seed": first.spec.seed}, {"seed": other.spec.seed})
    return lines + differences({"views": first.views}, {"views": other.views})
