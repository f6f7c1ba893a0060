"""What becomes of each image of today's folder or table: kept as it is, found again, or extracted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from amnet_common.collection.layout import DONE, HELD_ROW, PENDING
from amnet_common.collection.writer import nearest_mtime
from amnet_common.datasets import Dataset
from amnet_common.image_files import file_facts, is_readable
from extract.changes import file_sha256
from extract.sync.known import KnownRows, Place

SAME, NEW, CHANGED, UNFINISHED, RETRIED = "as they were", "new", "changed", "unfinished", "tried again"
RENAMED, COPIED, BACK, LOST = "renamed", "copies", "back", "without a readable file"
KINDS = (SAME, NEW, CHANGED, RENAMED, COPIED, BACK, UNFINISHED, RETRIED, LOST)


@dataclass(frozen=True)
class Policy:
    """Say what counts as changed: by content alone, or by size and time first; and whether failed images are retried.

    `views`: of each image. Augmented ones are drawn by the id of an image, so that one of another name is extracted.
    """

    rehash: bool = False
    retry_failed: bool = False
    views: int = 1


@dataclass
class Today:
    """Hold what each of N images becomes.

    `held` (N,) of layout.HELD_ROW: where the row of each is; of those of `extract`, row numbers of the dataset in
    order, it says nothing yet.
    """

    held: np.ndarray
    extract: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    anew: int = 0  # images with the content of another name that are extracted, as they have augmented views
    gone: tuple[str, ...] = ()

    def line(self) -> str:
        """Count the images in words: `200 images: 190 as they were, 6 new, 4 renamed; 4 gone`."""
        counts = ", ".join(f"{self.kinds[kind]} {kind}" for kind in KINDS if self.kinds[kind])
        return f"{len(self.held)} images: {counts}{f'; {len(self.gone)} gone' if self.gone else ''}"


@dataclass(frozen=True)
class Found:
    """Hold what became of one image: its kind, and the row that has its features; None: it is to be extracted."""

    kind: str
    place: Place | None = None
    seen: tuple[int, int] = (0, 0)  # size and time of the file, where they are not those of the row


class File:
    """Look at an image file, no more than is needed: size and time, then its hash."""

    def __init__(self, path: str) -> None:
        self.path, self._sha256 = path, b""
        found = file_facts(path)
        self.facts = (found[0], nearest_mtime(found[1])) if found else None

    @property
    def size(self) -> int:
        """Return its size in bytes; 0 if there is no such file."""
        return self.facts[0] if self.facts else 0

    def readable(self) -> bool:
        """Tell whether it is a file that may be read."""
        return is_readable(self.path)

    def sha256(self) -> bytes:
        """Return its hash; empty if it cannot be read."""
        self._sha256 = self._sha256 or file_sha256(self.path)
        return self._sha256


def compare(dataset: Dataset, known: KnownRows, policy: Policy) -> Today:
    """Decide what becomes of each image of a dataset, whose files are looked at."""
    today = Today(np.zeros(len(dataset.ids), HELD_ROW))
    present, taken = set(dataset.ids), set[str]()
    for row, id_ in enumerate(dataset.ids):
        found = decide(id_, File(f"{dataset.image_root}/{id_}"), known, policy, present)
        today.kinds[found.kind] += 1
        if found.place is None:
            today.extract.append(row)
            today.anew += found.kind in (RENAMED, COPIED)
        else:
            today.held[row] = (*found.place, *found.seen)
            taken.add(known.name_now(found.place) or "")
    today.gone = tuple(id_ for id_ in known.row_of if id_ not in present and id_ not in taken)
    return today


def decide(id_: str, file: File, known: KnownRows, policy: Policy, present: set[str]) -> Found:
    """Decide what becomes of one image; `present`: the ids of today."""
    place = known.listed(id_)
    kind = NEW
    if place and known.status(place) != PENDING:
        kept, kind = still_good(id_, place, file, known, policy)
        if kept:
            return kept
    elif place:
        kind = UNFINISHED
    again = found_again(id_, file, known, policy, present) if kind != RETRIED else None
    return again or Found(kind)


def still_good(id_: str, place: Place, file: File, known: KnownRows, policy: Policy) -> tuple[Found | None, str]:
    """Return the finished row of an id if it is of the file that is there, else None and why it is not."""
    facts, failed = known.facts(place), known.status(place) != DONE
    never_read = failed and facts == (0, 0)
    if not file.readable():
        return (Found(SAME, place), SAME) if never_read else (None, LOST)
    if failed and policy.retry_failed:
        return None, RETRIED
    seen = known.seen(id_)
    if not policy.rehash and file.facts in (facts, seen):
        return Found(SAME, place, (0, 0) if file.facts == facts else seen or (0, 0)), SAME
    if file.size == facts[0] and file.sha256() == known.sha256(place):
        return Found(SAME, place, (0, 0) if file.facts == facts else file.facts or (0, 0)), SAME
    if never_read and not file.sha256():  # readable by its rights, and yet not
        return Found(SAME, place), SAME
    return None, CHANGED


def found_again(id_: str, file: File, known: KnownRows, policy: Policy, present: set[str]) -> Found | None:
    """Find a finished row of the same content: of an image that has this name again, or had another, or is a copy."""
    if not file.readable():
        return None
    candidates = list(known.of_size(file.size))
    mine = [place for place in candidates if known.has_id(place, id_)]
    for place in reversed(mine):  # the newest first
        if not policy.rehash and file.facts == known.facts(place):
            return Found(BACK, place)
    for place in [*reversed(mine), *candidates]:
        if file.sha256() != known.sha256(place):
            continue
        own, name = known.has_id(place, id_), known.name_now(place)
        kind = BACK if own or name is None else COPIED if name in present else RENAMED
        if policy.views > 1 and not own:
            return Found(RENAMED if kind == BACK else kind)
        return Found(kind, place, (0, 0) if file.facts == known.facts(place) else file.facts or (0, 0))
    return None


def resumable(today: Today, ids: Sequence[str], known: KnownRows) -> tuple[int, list[int]] | None:
    """Return the part that already has a pending row for every image to extract, and those rows; None: there is none.

    So a run that was killed goes on in the file that it had begun.
    """
    places = [known.listed(ids[row]) for row in today.extract]
    good = [one for one, row in zip(places, today.extract, strict=True)
            if one and known.status(one) == PENDING and known.has_id(one, ids[row])]  # fmt: skip
    if not good or len(good) < len(places) or len({one.part for one in good}) > 1:
        return None
    return good[0].part, [one.row for one in good]
