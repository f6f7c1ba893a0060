"""`amnet-cache remove`: images taken out of a collection, so that neither features nor names are left in its files.

First the features are overwritten in place; then the collection is replaced by one that does not name the images; then
the files that still hold their names are written anew without them. The same command finishes what a kill has stopped.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection.compacting import as_dataset, stage_of
from amnet_common.collection.copying import copy_rows, prepare, refuse_damaged
from amnet_common.collection.erasing import erase_rows
from amnet_common.collection.joining import relative_path
from amnet_common.collection.layout import HELD_ROW, PENDING
from amnet_common.collection.part import Part
from amnet_common.collection.parts_folder import REPLACED, all_parts, folder_of, next_path
from amnet_common.collection.reader import Collection
from amnet_common.collection.skeleton import create_link
from amnet_common.datasets.near_names import Index, did_you_mean, near_names
from amnet_common.datasets.records import decode_id, encode_id, subset
from amnet_common.errors import DatasetError
from amnet_common.files import replace_by, sync_path
from amnet_common.making import made_here

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Removal:
    """Hold what is to be removed of a collection.

    `keep` (N,) bool: its rows that stay. `rows`: of each of `parts` that holds any, the rows to be erased; `parts`
    begins with those that the collection names. `shared`: ids that have the very same features as an image that is
    removed, and keep them. `elsewhere`: parts in other folders than the collection's own, in which names stay.
    """

    collection: Collection
    parts: tuple[Part, ...]
    keep: np.ndarray
    rows: dict[int, np.ndarray]
    shared: tuple[str, ...]
    elsewhere: tuple[Path, ...]

    @property
    def copied(self) -> int:
        """Return about how many rows are written anew: those that stay in the files that hold what goes."""
        anew = [n for n in self.rows if self.parts[n].path not in self.elsewhere]
        return sum(len(self.parts[n].images) - len(self.rows[n]) for n in anew)


def planned(path: Path, ids: Sequence[str], ignore_missing: bool = False) -> Removal:
    """Find everything that a collection and the parts beside it hold of images `ids`; nothing is written.

    Rows that the collection does not name any more count by the id that they were made under, and by the content of the
    image file, if it is that of an image that is removed. Raises DatasetError for an id that is nowhere, unless
    `ignore_missing`, or if no image would be left.
    """
    collection = Collection(path)
    parts = tuple(all_parts(path, collection)) if collection.linked else tuple(collection.parts)
    wanted = {encode_id(id_) for id_ in ids}
    keep = np.array([id_ not in wanted for id_ in collection.raw_ids()])
    named, staying = _named(collection, parts, keep)
    raw = [np.array(part.raw_ids(), object) for part in parts]
    by_id = [~here & np.isin(of_part, list(wanted)) for here, of_part in zip(named, raw, strict=True)]
    in_parts = {id_ for some, of_part in zip(by_id, raw, strict=True) for id_ in of_part[some]}
    _refuse_unknown(path, collection, ids, in_parts, ignore_missing)
    if not keep.any():
        raise DatasetError(f"{path}: expected to keep at least one image, found all {len(keep)} to be removed; remove "
                           "the file itself")  # fmt: skip
    going = [gone | (here & ~stay) for gone, here, stay in zip(by_id, named, staying, strict=True)]
    going = _same_content(parts, going, [here & stay for here, stay in zip(named, staying, strict=True)])
    rows = {number: np.flatnonzero(some) for number, some in enumerate(going) if some.any()}
    own = os.path.realpath(folder_of(path))
    elsewhere = tuple(parts[number].path for number in rows
                      if collection.linked and os.path.realpath(parts[number].path.parent) != own)  # fmt: skip
    return Removal(collection, parts, keep, rows, _shared(collection, keep), elsewhere)


def _named(
    collection: Collection, parts: Sequence[Part], keep: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each part, which rows the collection names (n,) bool, and which it names for an image that stays."""
    where = collection.where()
    named = [np.zeros(len(part.images), bool) for part in parts]
    staying = [np.zeros(len(part.images), bool) for part in parts]
    for number in range(len(collection.parts)):
        mine = where.parts == number
        named[number][where.own[mine]] = True
        staying[number][where.own[mine & keep]] = True
    return named, staying


def _same_content(
    parts: Sequence[Part], going: Sequence[np.ndarray], staying: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The rows to be erased, with those of the same content that no image has any more."""
    hashes = {
        content
        for part, some in zip(parts, going, strict=True)
        for content in map(bytes, part.images["sha256"][some & (part.status != PENDING)])
    } - {bytes(32)}
    more = [np.array([bytes(one) in hashes for one in part.images["sha256"]], bool) for part in parts]
    return [gone | (same & ~stay) for gone, same, stay in zip(going, more, staying, strict=True)]


def _shared(collection: Collection, keep: np.ndarray) -> tuple[str, ...]:
    """The ids that stay and have the features of one that does not."""
    where = collection.where()
    places = list(zip(where.parts.tolist(), where.own.tolist(), strict=True))
    going = {place for place, stays in zip(places, keep, strict=True) if not stays}
    return tuple(collection.ids[row] for row in np.flatnonzero(keep).tolist() if places[row] in going)


def _refuse_unknown(path: Path, collection: Collection, ids: Sequence[str], known: set[bytes], ignore: bool) -> None:
    here = set(collection.ids) | {decode_id(id_) for id_ in known}
    unknown = [id_ for id_ in ids if id_ not in here]
    if unknown and not ignore:
        meant = did_you_mean(unknown[0], near_names(unknown[:1], Index(collection.ids)), collection.ids)
        raise DatasetError(f"{path}: expected images that it holds, found {unknown[0]!r} and {len(unknown) - 1} more "
                           f"that it does not hold{meant}; --ignore-missing removes the others")  # fmt: skip


def carry_out(path: Path, removal: Removal, advance: Advance) -> None:
    """Remove what is planned. Raises BusyError while another process fills one of the files, OutputError."""
    for number, rows in removal.rows.items():
        erase_rows(removal.parts[number].path, rows)
    if not removal.collection.linked:
        _replace_plain(path, removal, advance)
        return
    own = {number: rows for number, rows in removal.rows.items() if removal.parts[number].path not in removal.elsewhere}
    anew = {number: _written_anew(path, removal, number, rows, advance) for number, rows in own.items()}
    _relink(path, removal, anew)
    for number in own:
        removal.parts[number].path.unlink()


def _replace_plain(path: Path, removal: Removal, advance: Advance) -> None:
    """Replace a collection with features of its own by one without the images."""
    collection, stage = Collection(path), stage_of(path)
    prepare(stage, collection, subset(as_dataset(collection), removal.keep), _about(collection))
    _fill(collection, np.flatnonzero(removal.keep), stage, advance)
    replace_by(stage, path)


def _about(collection: Collection) -> dict[str, Any]:
    return {**collection.provenance, REPLACED: collection.uuid, "made": made_here()}


def _fill(collection: Collection, rows: np.ndarray, stage: Path, advance: Advance) -> None:
    for count in copy_rows(collection, rows, stage):
        advance(count)
    for _ in refuse_damaged(stage):
        pass


@dataclass(frozen=True)
class _Anew:
    """A part without rows that it had: where it is now (None: none was left), and which old rows it has, (n,) bool."""

    path: Path | None
    keep: np.ndarray


def _written_anew(path: Path, removal: Removal, number: int, rows: np.ndarray, advance: Advance) -> _Anew:
    """Write a part anew without these rows, and without others that are pending and of no image."""
    part = removal.parts[number]
    whole, held = Collection(part.path), held_rows(removal.collection)
    keep = whole.status != PENDING
    keep[held["row"][(held["part"] == number) & removal.keep]] = True  # what is to be extracted still stays too
    keep[rows] = False
    if not keep.any():
        return _Anew(None, keep)
    dataset, about = subset(as_dataset(whole), keep), _about(whole)
    new, stage = next_path(folder_of(path)), stage_of(part.path)
    prepare(stage, whole, dataset, about)
    _fill(whole, np.flatnonzero(keep), stage, advance)
    sync_path(stage)
    os.replace(stage, new)  # a number that is free, as long as this command alone writes here
    sync_path(new.parent)
    return _Anew(new, keep)


def _relink(path: Path, removal: Removal, anew: Mapping[int, _Anew]) -> None:
    """Replace a link by one of the images that stay, in parts that were written anew."""
    old = removal.collection
    held = held_rows(old)[removal.keep].copy()
    paths = {n: anew[n].path if n in anew else part.path for n, part in enumerate(old.parts)}
    for number, one in anew.items():
        mine = held["part"] == number
        held["row"][mine] = (np.cumsum(one.keep) - 1)[held["row"][mine]]
    left = [number for number, one in paths.items() if one is not None]
    held["part"] = np.searchsorted(left, held["part"])
    parts = [Part(one) for one in paths.values() if one is not None]
    sources = [(relative_path(part.path, path), part.structure.uuid) for part in parts]
    about = {**old.provenance, "made": made_here()}
    create_link(path, subset(as_dataset(old), removal.keep), old.spec, sources, about, held, replace=True)


def held_rows(collection: Collection) -> np.ndarray:
    """Return where the rows of a link are, (N,) of layout.HELD_ROW, whether it says so itself or not."""
    if collection.held is not None:
        return collection.held
    held, where = np.zeros(len(collection), HELD_ROW), collection.where()
    held["part"], held["row"] = where.parts, where.own
    return held
