"""Pictures that stand in a collection twice: the same file, or the same photograph in another encoding.

One of them in the training list and the other in the test list makes a result better than it is.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.collection.layout import DONE
from amnet_common.collection.reader import Collection
from amnet_common.datasets.records import SplitList
from amnet_common.errors import ImageError
from amnet_common.images.decoding import decode_rgb
from amnet_common.images.likeness import alike, difference_hash
from amnet_common.images.source import read_source

THREADS = 4
MOST_COPIES = 50  # of a file that are compared with each other
AHEAD = 64  # pictures in work at a time


@dataclass(frozen=True)
class Twins:
    """Hold two rows of one picture, in how many bits their perceptual hashes differ (None: the same bytes), and the
    splits in which one is tested and the other trained on.
    """

    rows: tuple[int, int]
    bits: int | None
    leaks: tuple[str, ...]


@dataclass(frozen=True)
class Duplicates:
    """Hold the twins that were found, and how many pictures could not be looked at."""

    twins: tuple[Twins, ...]
    not_seen: int


def same_bytes(collection: Collection) -> Iterator[tuple[int, int]]:
    """Yield pairs of finished rows whose image files had the same bytes, by the hashes that the collection keeps.

    Of many rows of one file, those beyond MOST_COPIES are paired with the first ones alone.
    """
    seen: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(collection.status == DONE).tolist():
        digest = collection.images["sha256"][row].tobytes()
        if not any(digest):  # not known
            continue
        others = seen.setdefault(digest, [])
        yield from ((other, row) for other in others)
        if len(others) < MOST_COPIES:
            others.append(row)


def duplicates(
    collection: Collection, root: Path | None = None, advance: Callable[[int], object] = lambda _: None
) -> Duplicates:
    """Find twins among the finished rows: by their bytes, and by the looks of those whose image is below `root`, or
    where it was when its features were made. `advance` is told of each picture.
    """
    rows = np.flatnonzero(collection.status == DONE).tolist()
    same = set(same_bytes(collection))
    seen: list[int] = []
    hashes: list[np.ndarray] = []
    with ThreadPoolExecutor(THREADS, "likeness") as pool:
        for start in range(0, len(rows), AHEAD):  # bounded: map would queue every picture at once
            some = rows[start : start + AHEAD]
            looked = pool.map(lambda row: _hash(collection, row, root), some)
            for row, looks in zip(some, looked, strict=True):
                advance(1)
                if looks is not None:
                    seen.append(row)
                    hashes.append(looks)
    pairs: dict[tuple[int, int], int | None] = {}
    if hashes:
        pairs |= {(seen[i], seen[j]): bits for i, j, bits in alike(np.array(hashes))}
    pairs |= dict.fromkeys(sorted(same))
    splits = _splits(collection.splits)
    twins = tuple(Twins(pair, bits, tuple(leaks(splits, *pair))) for pair, bits in sorted(pairs.items()))
    return Duplicates(twins, len(rows) - len(seen))


def leaks(splits: Mapping[str, Mapping[str, set[int]]], one: int, other: int) -> Iterator[str]:
    """Yield the numbers of the splits in which one row is tested and the other trained or validated on."""
    for number, lists in splits.items():
        test = lists.get("test", set())
        rest = lists.get("train", set()) | lists.get("val", set())
        if (one in test and other in rest) or (other in test and one in rest):
            yield number


def _splits(lists: Mapping[str, SplitList]) -> dict[str, dict[str, set[int]]]:
    """The rows of each list, by the number of its split and its name."""
    found: dict[str, dict[str, set[int]]] = {}
    for name, split in lists.items():
        part, _, number = name.rpartition("_")
        found.setdefault(number, {})[part] = set(split.rows.tolist())
    return found


def _hash(collection: Collection, row: int, root: Path | None) -> np.ndarray | None:
    """The looks of the image of a row; None if it cannot be read, or is another file than it was."""
    try:
        source = read_source(collection.image_path(row, root))
        if source.sha256 != collection.images["sha256"][row].tobytes():
            return None
        return difference_hash(decode_rgb(source.data))
    except ImageError:
        return None


def duplicate_lines(collection: Collection, found: Duplicates) -> Iterator[str]:
    """Yield a line for each pair of twins, and one for what was not seen."""
    for one in found.twins:
        names = " and ".join(collection.ids[row] for row in one.rows)
        what = "the same bytes" if one.bits is None else f"look the same ({one.bits} of 256 bits differ)"
        spoilt = f": one is tested and the other trained or chosen on in split {', '.join(one.leaks)}"
        where = spoilt if one.leaks else ""
        yield f"{names}: {what}{where}"
    if found.not_seen:
        yield f"{found.not_seen} images could not be looked at; only their bytes were compared"
    if not found.twins:
        yield "no two images are the same"
