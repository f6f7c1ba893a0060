"""The one loop: decode -> trunk -> disk, each in its own threads, a bounded number of images between them.

Everything carries its row with it, so nothing depends on the order in which threads finish.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.errors import BegunAnewError, ImageError, LostStoreError
from amnet_common.images import Budget, Limits, Picture, decoded, ignored_pillow_warnings, read_source
from extract.clock import CUT, DECODE, PICTURES, READ, TRUNK, WRITE, Clock
from extract.crops import ViewPlan, cut_views, evaluation_frame, on_image, plan_views
from extract.frozen_trunk import Encoded, UnderWay
from extract.lasting import Lasting, lost_for

AHEAD = 4  # finished stages that may wait for the next one, an image or a batch each; bounds the memory
NOT_FINITE = "features are not finite; another --out with --precision bfloat16 or float32 may help"

RunTrunk = Callable[[np.ndarray], Encoded | UnderWay]  # of uint8 (n, size, size, 3)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cut:
    """Hold one image, decoded and cut: its V views, or the reason why there are none."""

    row: int
    facts: ImageFacts
    boxes: np.ndarray | None = None  # (V, 5) float32
    pixels: np.ndarray | None = None  # (V, size, size, 3) uint8
    error: str = ""
    profile: str = ""  # what came of the colour profile, as in Picture
    lost: int = 0  # the error number of a file whose disk may be gone


@dataclass(frozen=True)
class RowReport:
    """Report a row that is finished: done, or failed for the reason in `error`."""

    row: int
    error: str = ""
    profile: str = ""  # what came of the colour profile, as in Picture


@dataclass(frozen=True)
class Cutter:
    """Turn a row number into views; used from several threads."""

    dataset: Dataset
    plan: ViewPlan
    seed: int
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    clock: Clock = field(default_factory=Clock, compare=False)
    sharers: int = 1  # processes that decode at once, each in its part of the memory
    budget: Budget = field(init=False, compare=False)  # of the memory that large pictures share

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", Budget(self.limits.decoding_bytes // self.sharers))

    @property
    def total(self) -> int:
        """Return N, the number of rows of the collection."""
        return len(self.dataset.ids)

    def __call__(self, row: int) -> Cut:
        """Read, decode and cut the image of `row`. A bad image is a result here, not an error."""
        id_ = self.dataset.ids[row]
        facts = ImageFacts()
        try:
            with self.clock(READ):
                source = read_source(self.dataset.image_root / id_)
            facts = ImageFacts(source.sha256, source.size, source.mtime_ns)
            with ExitStack() as held:
                with self.clock(DECODE):
                    picture = held.enter_context(decoded(source.data, self.limits, self.budget))
                facts = replace(facts, width=picture.width, height=picture.height)
                with self.clock(CUT):
                    return Cut(row, facts, *views_of(self.plan, self.seed, id_, picture), profile=picture.profile)
        except ImageError as error:
            return Cut(row, facts, error=str(error), lost=lost_for(error))


def views_of(plan: ViewPlan, seed: int, id_: str, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (V, 5) float32 in pixels of the file, and the views that are cut from what was decoded of it."""
    boxes = plan_views(plan, seed, id_, picture.height, picture.width)
    drawn = [on_image(box, picture.image, picture.height, picture.width) for box in boxes]
    frame = evaluation_frame(plan, picture.height, picture.width)
    return np.array(boxes, np.float32), cut_views(picture.image, drawn, plan.size, picture.srgb, frame, plan.resampling)


@dataclass(frozen=True)
class Filling:
    """Name the rows of a collection that are to be filled.

    `row_range` (None: every row) is locked against other writers. `redo`: finished rows to be filled again, which are
    marked pending first. `missing`: rows whose image files are known not to be there. `kernel_path`: the trunk's,
    remembered for each row; None: that of the file. `uuid`: of the collection that is meant; None: whichever is there.
    """

    path: Path
    rows: Sequence[int]
    row_range: range | None = None
    redo: Sequence[int] = ()
    kernel_path: Mapping[str, object] | None = None
    uuid: str | None = None
    missing: frozenset[int] = frozenset()


def extract_rows(
    filling: Filling,
    cutter: Cutter,
    trunk: RunTrunk,
    batch_size: int,
    workers: int,
    after_batch: Callable[[], None] = lambda: None,
) -> Generator[RowReport, None, None]:
    """Fill rows of a collection, and yield a report for each row once it is finished.

    Rows that another writer has finished meanwhile are left out. `workers` decode, the trunk gets `batch_size` views.
    `after_batch` is called after each batch of views, and may raise to stop. The cutter's clock gets the time of every
    stage.

    Raises BusyError if another process writes within the row range, BegunAnewError if it has put another collection
    there; LostStoreError when the disk of the images is gone, OutputError when the disk does not take what is written:
    what is finished by then is kept.
    """
    path, redo = filling.path, filling.redo
    row_range = range(cutter.total) if filling.row_range is None else filling.row_range
    with (
        ignored_pillow_warnings(),
        RowWriter(path, row_range.start, row_range.stop, filling.kernel_path) as writer,
        ThreadPoolExecutor(workers, "decode") as decoders,
        ThreadPoolExecutor(1, "write") as disk,
    ):
        if filling.uuid and writer.uuid != filling.uuid:  # no other can replace it now
            raise BegunAnewError(f"--out {path}: expected the collection {filling.uuid} that this command has looked "
                                 f"at, found {writer.uuid}: another process has begun it anew; run the command "
                                 "again")  # fmt: skip
        rows = sorted({row for row in filling.rows if not writer.is_done(row)} | set(redo))
        writer.undo(redo)
        clock = cutter.clock
        store = Store(writer, cutter.plan.views, clock)
        lasting = Lasting(cutter.dataset.image_root, cutter.dataset.ids, filling.missing)
        batches = in_batches(lasting(ahead(decoders, cutter, rows, workers + AHEAD)), batch_size)
        computed = run_each(trunk, clock.waiting(PICTURES, batches), clock)
        for reports in ahead(disk, lambda batch: store(*batch), computed, AHEAD):
            after_batch()
            yield from reports
        with clock(WRITE):
            writer.sync()
        if lasting.lost:
            raise LostStoreError(
                f"{lasting.lost} {path} keeps what is finished; the same command again goes on from there"
            )


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Generator[Result, None, None]:
    """Yield `map(work, items)` in order, with at most `most` items under way in the pool."""
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
    """Yield views of consecutive images, regrouped: (owners, uint8 (n, size, size, 3)).

    n is `batch_size` but for the last batch; a failed image comes by itself, without a view.
    """
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


def run_each(
    trunk: RunTrunk, batches: Iterable[tuple[Owners, np.ndarray]], clock: Clock
) -> Iterator[tuple[Owners, Encoded | UnderWay | None]]:
    """Give every batch to the trunk, and yield it; a GPU may still be at work on it."""
    for owners, pixels in batches:
        with clock(TRUNK):
            running = trunk(pixels) if len(pixels) else None
        yield owners, running


class Store:
    """Give every computed view to the writer, and close a row when its last view has come."""

    def __init__(self, writer: RowWriter, views: int, clock: Clock) -> None:
        self.writer, self.views, self.clock = writer, views, clock
        self._written: Counter[int] = Counter()
        self._clipped: Counter[int] = Counter()
        self._not_finite: set[int] = set()

    def __call__(self, owners: Owners, running: Encoded | UnderWay | None) -> list[RowReport]:
        """Wait for a batch and write it; return the rows that are complete with it."""
        with self.clock(TRUNK):
            encoded = None if running is None else running.result()
        reports, planes = [], iter(()) if encoded is None else zip(*encoded, strict=True)
        with self.clock(WRITE):
            for cut, view in owners:
                if view >= 0:
                    self._write(cut.row, view, *next(planes))
                if view < 0 or self._written[cut.row] == self.views:
                    reports.append(self._close(cut))
        return reports

    def _write(self, row: int, view: int, features: np.ndarray, clipped: int, finite: bool) -> None:
        if not finite:
            self._not_finite.add(row)
        self.writer.write_view(row, view, features)
        self._clipped[row] += int(clipped)
        self._written[row] += 1

    def _close(self, cut: Cut) -> RowReport:
        self._written.pop(cut.row, None)
        clipped = self._clipped.pop(cut.row, 0)
        error = NOT_FINITE if cut.row in self._not_finite else cut.error
        if error:
            self.writer.fail(cut.row, cut.facts, error)
        else:
            assert cut.boxes is not None
            self.writer.finish(cut.row, cut.facts, cut.boxes, clipped)
        return RowReport(cut.row, error, cut.profile)
