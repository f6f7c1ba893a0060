"""A dataset: which images there are, their scores, and which of them each split list names."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

MAX_ID_BYTES = 1024
SOME = 2**16  # ids that are looked at together
MOST_LISTS = 3_000  # of splits: a thousand folds
ODD_PART = re.compile(r"(?:^|[/\0])\.{0,2}(?:[/\0]|$)")  # an empty part (absolute, or a second name), `.` or `..`


@dataclass(frozen=True)
class SplitList:
    """Hold one list of a split, such as train_1: row numbers and the scores that this list gives them.

    The scores stand here and not only with the images: in LaMem and SUN each split has its own, computed from
    other halves of the observers (58,728 of LaMem's 58,741 images have more than one).
    """

    rows: np.ndarray  # (n,) int64, in the order of the list
    scores: np.ndarray  # (n,) float64


@dataclass(frozen=True)
class Dataset:
    """Hold images by id (path below `image_root`, with forward slashes), in the order of the collection's rows.

    Raises DatasetError for no image, for more than MOST_LISTS lists, and for a split that names rows that do not exist.
    """

    name: str
    image_root: Path
    ids: tuple[str, ...]
    splits: Mapping[str, SplitList] = field(default_factory=dict)
    scores: np.ndarray | None = None  # (N,) float64, NaN where unknown; None: the mean over the split lists
    notes: tuple[str, ...] = ()  # what was left out, for whoever asked for it
    about: Mapping[str, object] = field(default_factory=dict)  # plain JSON, to be kept in the collection for people

    def __post_init__(self) -> None:
        if not self.ids:
            raise DatasetError(f"--dataset {self.name}: expected at least one image, found none for {self.image_root}")
        refuse_many(len(self.splits), f"--dataset {self.name}")
        for name, split in self.splits.items():
            if len(split.rows) and not 0 <= split.rows.min() <= split.rows.max() < len(self.ids):
                raise DatasetError(f"split {name} names unknown images: expected rows below {len(self.ids)}, "
                                   f"found {split.rows.max()}")  # fmt: skip

    @property
    def labels(self) -> np.ndarray:
        """Return one score an image, (N,) float64, NaN where there is none."""
        return mean_scores(len(self.ids), self.splits.values()) if self.scores is None else self.scores


def refuse_many(lists: int, where: str) -> None:
    """Raise DatasetError, which names `where`, for more than MOST_LISTS split lists."""
    if lists > MOST_LISTS:
        raise DatasetError(f"{where}: expected at most {MOST_LISTS} split lists, found {lists}")


def subset(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """Return the images of `keep` (N,) bool, with their scores, in lists that name only them.

    Raises DatasetError if there are none.
    """
    row_of = np.cumsum(keep) - 1
    ids = tuple(id_ for id_, kept in zip(dataset.ids, keep, strict=True) if kept)
    splits = {
        name: SplitList(row_of[split.rows[keep[split.rows]]], split.scores[keep[split.rows]])
        for name, split in dataset.splits.items()
    }
    return Dataset(dataset.name, dataset.image_root, ids, splits, dataset.labels[keep], about=dataset.about)


def mean_scores(count: int, splits: Iterable[SplitList]) -> np.ndarray:
    """Compute each image's mean score over the lists that name it, (count,) float64; NaN where none does."""
    total, times = np.zeros(count), np.zeros(count)
    for split in splits:
        np.add.at(total, split.rows, split.scores)
        np.add.at(times, split.rows, 1)
    return np.divide(total, times, out=np.full(count, math.nan), where=times > 0)


def checked_id(text: str, where: str) -> str:
    """Return an id if it names a file below the image root; else raise DatasetError that starts with `where`.

    An id of more than MAX_ID_BYTES is refused too.
    """
    if "\0" in text or ODD_PART.search(text):
        raise DatasetError(f"{where}: expected an image path below the image root, found {shortened(text, 1000)}")
    if len(encode_id(text)) > MAX_ID_BYTES:
        raise DatasetError(f"{where}: expected an image path of at most {MAX_ID_BYTES} bytes, found {text[:40]!r}...")
    return text


def check_ids(ids: Sequence[str], where: str) -> None:
    """Check each id as `checked_id` does; a million good ones take no time."""
    for start in range(0, len(ids), SOME):
        some = ids[start : start + SOME]
        joined = "\0".join(some)
        parts = f"\0{joined}\0".replace("/", "\0")
        odd = joined.count("\0") >= len(some) or any(part in parts for part in ("\0\0", "\0."))
        if odd or 4 * len(max(some, key=len)) > MAX_ID_BYTES or "\n" in joined:
            for id_ in some:
                checked_id(id_, where)


def checked_score(text: str, where: str) -> float:
    """Convert the text of a score to a finite number; else raise DatasetError that starts with `where`."""
    try:
        score = math.nan if "_" in text else float(text)  # 1_0 is a number to Python alone
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DatasetError(f"{where}: expected a number as score, found {shortened(text)}")
    return score


def encode_id(text: str) -> bytes:
    """Return an id as stored: UTF-8, and file names that are not UTF-8 as the bytes they are."""
    return text.encode("utf-8", "surrogateescape")


def decode_id(data: bytes) -> str:
    """Return the id of stored bytes, the inverse of `encode_id`."""
    return data.decode("utf-8", "surrogateescape")
