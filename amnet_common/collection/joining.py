"""`amnet-cache link` and `relabel`: new collections that take their features from others (see linking.py)."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import amnet_common
from amnet_common.collection.folding import FOLDING, folds_of, read_groups
from amnet_common.collection.id_reading import encoded
from amnet_common.collection.layout import HELD_ROW, PATH_BYTES
from amnet_common.collection.linking import RowsById, choose_parts, refuse_other_views, refuse_outside
from amnet_common.collection.part import Part
from amnet_common.collection.reader import Collection
from amnet_common.collection.score_names import named
from amnet_common.collection.skeleton import create_link
from amnet_common.collection.spec import differences, spec_differences
from amnet_common.datasets import Dataset, SplitList
from amnet_common.datasets.columns import Columns
from amnet_common.datasets.folds import Folding
from amnet_common.datasets.image_names import CollectionNames
from amnet_common.datasets.label_table import read_label_table
from amnet_common.datasets.near_names import did_you_mean, near_names
from amnet_common.datasets.spelling import own_names
from amnet_common.datasets.split_lists import as_split, refuse_overlap
from amnet_common.errors import CollectionError, ConfigError, DatasetError, SpecError
from amnet_common.making import made_here

OF_TABLE = ("labels", "ratings")  # in the provenance: Dataset.about of a label table
OF_LISTS = (FOLDING, "group", "look_alikes")  # in the provenance: how its lists were dealt


@dataclass(frozen=True)
class Joined:
    """Hold a linked collection, and how the kernel paths of its parts differ."""

    collection: Collection
    kernel_differences: tuple[str, ...]  # allowed, but worth knowing: last bits of the features


def link(paths: Sequence[Path], out: Path, replace_old: bool = False) -> Joined:
    """Join collections into a linked one at `out`, in the order of their rows, without copying features.

    `replace_old`: `out` may be there, and then loses its name when the new one is whole.
    A part may be linked itself: then its own parts are. Raises SpecError for unlike specs, CollectionError for
    overlapping ids or parts that the link may not name, DatasetError if one list gives one image two scores,
    OutputError if `out` cannot be created.
    """
    collections = [Collection(path) for path in paths]
    first = collections[0]
    for other in collections[1:]:
        unlike = spec_differences(first.spec, other.spec)
        if unlike:
            raise SpecError(f"{other.path}: expected the spec of {first.path}, found another: {'; '.join(unlike)}")
    parts = [part for collection in collections for part in collection.parts]
    _refuse_twice(parts)
    sources = [(relative_path(part.path, out), part.structure.uuid) for part in parts]
    dataset = join_datasets(collections)
    refuse_other_views(out, parts)
    held = held_together(dataset.ids, collections)
    names = "+".join(sorted({str(collection.provenance.get("dataset")) for collection in collections}))
    made = {"dataset": names, "linked": [str(path) for path in paths], "amnet": amnet_common.__version__,
            "made": made_here()}  # fmt: skip
    about = first.provenance if _same_table(collections) else without(OF_TABLE, first.provenance)
    create_link(out, dataset, first.spec, sources, {**without(OF_LISTS, about), **made}, held, replace_old)
    return Joined(Collection(out), tuple(kernel_differences(collections)))


def relabel(
    path: Path,
    labels: Path | None,
    out: Path,
    folding: Folding | None = None,
    group: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 (frozen)
    tell: Callable[[str], object] = lambda _: None,
    score_name: str | None = None,
    twins: Sequence[tuple[int, int]] | None = None,
) -> Collection:
    """Create a linked collection at `out` with the features of `path` and the scores and splits of a label table.

    Images that the table does not name keep no score and belong to no split. `labels` None: the collection's own
    scores. `folding`: folds of these scores in place of all lists; `group`: a column of the table, whose groups stay
    together. `tell` gets what is to be said of how the table was read. `score_name`: what the scores are called; None:
    as before. `twins`: with folds, pairs of rows that look the same and stay together. Raises DatasetError for an image
    that `path` does not hold, and as `link`; ConfigError for a group without a table or folds.
    """
    named(score_name)  # or it is refused before anything is read
    collection = Collection(path)
    if group and not (labels and folding):
        raise ConfigError(f"--group {group}: expected --labels TABLE, which has that column, and --folds as well")
    dataset = _labelled(collection, labels, columns, tell) if labels else _as_it_is(collection)
    made = {**dataset.about, **named(score_name), "relabelled": str(labels or path)}
    made |= {"amnet": amnet_common.__version__, "made": made_here()}
    if folding:
        groups = read_groups(labels, columns, group, collection) if labels and group else None
        dataset = replace(dataset, splits=folds_of(collection, dataset.labels, folding, groups, twins or ()))
        made |= {FOLDING: folding.as_dict()} | ({"group": group} if group else {})
        made |= {} if twins is None else {"look_alikes": len(twins)}
    sources = [(relative_path(part.path, out), part.structure.uuid) for part in collection.parts]
    kept = without(OF_LISTS, collection.provenance)
    about = {**(without(OF_TABLE, kept) if labels else kept), **made}
    create_link(out, dataset, collection.spec, sources, about, collection.held)
    return Collection(out)


def _labelled(collection: Collection, labels: Path, columns: Columns, tell: Callable[[str], object]) -> Dataset:
    """The images of a collection with what a label table says of them."""
    known = CollectionNames(collection.ids, f"of {collection.path}")
    table = read_label_table(_image_root(collection), labels, columns, known)
    row_of = {id_: row for row, id_ in enumerate(collection.ids)}
    row_of |= {id_: row_of[own] for id_, own in own_names(table.ids, collection.ids).items()}
    unknown = [id_ for id_ in table.ids if id_ not in row_of]
    if unknown:
        meant = did_you_mean(unknown[0], near_names(unknown[:1], known.index), known.names)
        raise DatasetError(f"--labels {labels}: expected images of {collection.path}, found {unknown[0]!r} and "
                           f"{len(unknown) - 1} more that it does not hold{meant}")  # fmt: skip
    for note in table.notes:
        tell(note)
    rows = np.array([row_of[id_] for id_ in table.ids], np.int64)
    scores = np.full(len(collection), np.nan)
    scores[rows] = table.labels
    splits = {name: SplitList(rows[split.rows], split.scores) for name, split in table.splits.items()}
    return Dataset(table.name, table.image_root, collection.ids, splits, scores, about=table.about)


def _as_it_is(collection: Collection) -> Dataset:
    name = str(collection.provenance.get("dataset"))
    return Dataset(name, _image_root(collection), collection.ids, collection.splits, collection.labels)


def without(names: Sequence[str], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a collection's making without these parts of it."""
    return {name: value for name, value in provenance.items() if name not in names}


def _same_table(collections: Sequence[Collection]) -> bool:
    first = [collections[0].provenance.get(name) for name in OF_TABLE]
    return all([other.provenance.get(name) for name in OF_TABLE] == first for other in collections)


def _refuse_twice(parts: Sequence[Part]) -> None:
    seen: dict[str, Part] = {}
    for part in parts:
        other = seen.setdefault(part.structure.uuid, part)
        if other is not part:
            raise CollectionError(f"{part.path}: expected each part once, found it again as {other.path} (the same "
                                  "file or a copy of it)")  # fmt: skip


def join_datasets(collections: Sequence[Collection]) -> Dataset:
    """Join the ids, scores and splits of collections into one dataset.

    Ids stand in the order of their first appearance; lists of one name one after the other, each image once. Raises
    DatasetError if an image has two scores, or stands in two subsets of one split.
    """
    row_of: dict[str, int] = {}
    for collection in collections:
        for id_ in collection.ids:
            row_of.setdefault(id_, len(row_of))
    lists: dict[str, dict[str, float]] = {}
    scores = np.full(len(row_of), np.nan)
    for collection in collections:
        rows = np.array([row_of[id_] for id_ in collection.ids])
        _merge_scores(scores, rows, collection)
        for name, split in collection.splits.items():
            _merge_list(lists.setdefault(name, {}), split, name, collection)
    refuse_overlap(lists)
    splits = {name: as_split(entries, row_of) for name, entries in lists.items()}
    return Dataset("linked", _image_root(collections[0]), tuple(row_of), splits, scores)


def kernel_differences(collections: Iterable[Collection]) -> list[str]:
    """Return one line for each part that was computed on another kernel path than the first part."""
    parts = [part for collection in collections for part in collection.parts]
    first: Mapping[str, Any] = parts[0].planes.kernel_path
    unlike = ((part.path, differences(first, part.planes.kernel_path)) for part in parts[1:])
    return [f"{path}: {'; '.join(lines)}" for path, lines in unlike if lines]


def held_together(ids: Sequence[str], collections: Sequence[Collection]) -> np.ndarray | None:
    """Return which row of which of all parts each id is, (N,) of layout.HELD_ROW, where one of the collections says so
    of its rows; None: none does, and a link finds its rows by their ids.

    Raises CollectionError if two collections have features of one id.
    """
    find = RowsById(ids, encoded(ids))
    chosen = choose_parts(ids, [find.held_by(encoded(collection.ids)) for collection in collections], collections)
    if all(collection.held is None for collection in collections):
        return None
    held = np.zeros(len(ids), HELD_ROW)
    starts = np.cumsum([0, *(len(collection.parts) for collection in collections)])
    for number, collection in enumerate(collections):
        mine = np.flatnonzero(chosen.parts == number)
        where, own = collection.where(), chosen.own[mine]
        held["part"][mine], held["row"][mine] = starts[number] + where.parts[own], where.own[own]
        if collection.held is not None:
            for name in ("size", "mtime_ns"):
                held[name][mine] = collection.held[name][own]
    return held


def _merge_scores(scores: np.ndarray, rows: np.ndarray, collection: Collection) -> None:
    known, labels = scores[rows], collection.labels
    unlike = ~np.isnan(known) & ~np.isnan(labels) & (known != labels)
    if unlike.any():
        row = int(np.argmax(unlike))
        raise DatasetError(f"{collection.path}: expected score {known[row]} of {collection.ids[row]!r} as in a part "
                           f"before, found {labels[row]}")  # fmt: skip
    scores[rows] = np.where(np.isnan(known), labels, known)


def _merge_list(entries: dict[str, float], split: SplitList, name: str, collection: Collection) -> None:
    for row, score in zip(split.rows.tolist(), split.scores.tolist(), strict=True):
        id_ = collection.ids[row]
        if entries.setdefault(id_, score) != score:
            raise DatasetError(f"{collection.path}: list {name}: expected score {entries[id_]} of {id_!r} as in a part "
                               f"before, found {score}")  # fmt: skip


def relative_path(part: Path, out: Path) -> str:
    """Return a part's path from the folder of `out`. Raises CollectionError if a link there may not name it."""
    refuse_outside(out, part)
    name = os.path.relpath(os.path.realpath(part), os.path.realpath(out.parent))
    if len(os.fsencode(name)) > PATH_BYTES:
        raise CollectionError(f"{out}: expected parts with paths of at most {PATH_BYTES} bytes, found one of "
                              f"{len(os.fsencode(name))}")  # fmt: skip
    return name


def _image_root(collection: Collection) -> Path:
    return Path(str(collection.provenance.get("image_root", "")))
