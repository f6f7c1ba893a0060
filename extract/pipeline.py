"""The one loop: decode -> trunk -> disk, each in its own threads, a bounded number of images between them.

Everything carries its row with it, so nothing depends on the order in which threads finish.
"""

import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from amnet_common.datasets import Dataset
from amnet_common.errors import ImageError
from amnet_common.writer import ImageFacts, RowWriter
from extract.crops import ViewPlan, cut_views, plan_views
from extract.images import decode_rgb, read_source

AHEAD = 4  # finished stages that may wait for the next one, an image or a batch each; bounds the memory
NOT_FINITE = "features are not finite in float16; another --out with --precision bfloat16 or float32 may help"

RunTrunk = Callable[[np.ndarray], np.ndarray]  # uint8 (n, 224, 224, 3) -> float16 (n, 14, 14, 1024)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cut:
    """One image, decoded and cut: its V views, or the reason why there are none."""

    row: int
    facts: ImageFacts
    boxes: np.ndarray | None = None  # (V, 5) float32
    pixels: np.ndarray | None = None  # (V, 224, 224, 3) uint8
    error: str = ""


@dataclass(frozen=True)
class RowReport:
    """A row that is finished: done, or failed for the reason in `error`."""

    row: int
    error: str = ""


@dataclass(frozen=True)
class Cutter:
    """What turns a row number into views; used from several threads."""

    dataset: Dataset
    plan: ViewPlan
    seed: int

    def __call__(self, row: int) -> Cut:
        """Read, decode and cut the image of `row`. A bad image is a result here, not an error."""
        id_ = self.dataset.ids[row]
        facts = ImageFacts()
        try:
            source = read_source(self.dataset.image_root / id_)
            facts = ImageFacts(source.sha256, source.size, source.mtime_ns)
            image = decode_rgb(source.data)
            facts = ImageFacts(source.sha256, source.size, source.mtime_ns, image.width, image.height)
            boxes = plan_views(self.plan, self.seed, id_, image.height, image.width)
            return Cut(row, facts, np.array(boxes, np.float32), cut_views(image, boxes, self.plan.size))
        except ImageError as error:
            return Cut(row, facts, error=str(error))


def extract_rows(
    path: Path, rows: Sequence[int], cutter: Cutter, trunk: RunTrunk, batch_size: int, workers: int
) -> Generator[RowReport, None, None]:
    """Fill `rows` of the collection at `path`, and yield a report for each row once it is finished.

    Raises OutputError when the disk does not take it; what is finished by then is kept.
    """
    with (
        ignored_pillow_warnings(),
        RowWriter(path) as writer,
        ThreadPoolExecutor(workers, "decode") as decoders,
        ThreadPoolExecutor(1, "write") as disk,
    ):
        store = Store(writer, cutter.plan.views)
        batches = in_batches(ahead(decoders, cutter, rows, workers + AHEAD), batch_size)
        computed = ((owners, trunk(pixels) if len(pixels) else pixels) for owners, pixels in batches)
        for reports in ahead(disk, lambda batch: store(*batch), computed, AHEAD):
            yield from reports


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """`map(work, items)` in order, with at most `most` items under way in the pool."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


Owners = list[tuple[Cut, int]]  # whose view each entry of a batch is; view -1: a failed image, without an entry


def in_batches(cuts: Iterable[Cut], batch_size: int) -> Iterator[tuple[Owners, np.ndarray]]:
    """Views of consecutive images, regrouped: (owners, uint8 (n, 224, 224, 3)), n = batch_size but for the last."""
    owners: Owners = []
    pixels: list[np.ndarray] = []
    for cut in cuts:
        if cut.pixels is None:
            yield [(cut, -1)], np.empty((0,), np.uint8)  # at once: a million of them must not gather here
            continue
        for view, view_pixels in enumerate(cut.pixels):
            owners.append((cut, view))
            pixels.append(view_pixels)
            if len(pixels) == batch_size:
                yield owners, np.stack(pixels)
                owners, pixels = [], []
    if owners:
        yield owners, np.stack(pixels)


class Store:
    """Gives every computed view to the writer and closes a row when its last view has come."""

    def __init__(self, writer: RowWriter, views: int) -> None:
        self.writer, self.views = writer, views
        self._written: Counter[int] = Counter()
        self._not_finite: set[int] = set()

    def __call__(self, owners: Owners, features: np.ndarray) -> list[RowReport]:
        """Write a batch, (n, 14, 14, 1024) float16; the rows that are complete with it."""
        reports, planes = [], iter(features)
        for cut, view in owners:
            if view >= 0:
                self._write(cut.row, view, next(planes))
            if view < 0 or self._written[cut.row] == self.views:
                reports.append(self._close(cut))
        return reports

    def _write(self, row: int, view: int, features: np.ndarray) -> None:
        if not np.isfinite(features.max()):  # features are never negative: infinity and NaN both show in the maximum
            self._not_finite.add(row)
        self.writer.write_view(row, view, features)
        self._written[row] += 1

    def _close(self, cut: Cut) -> RowReport:
        self._written.pop(cut.row, None)
        error = NOT_FINITE if cut.row in self._not_finite else cut.error
        if error:
            self.writer.fail(cut.row, cut.facts, error)
        else:
            assert cut.boxes is not None
            self.writer.finish(cut.row, cut.facts, cut.boxes)
        return RowReport(cut.row, error)


@contextmanager
def ignored_pillow_warnings() -> Iterator[None]:
    """Pillow warns of large images and odd metadata; what matters of it becomes a row's error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
