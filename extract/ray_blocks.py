"""What a worker of a Ray cluster does of an extraction: it fills a block of rows, and tells which are finished.

A worker that sees the very file of the command fills it, as a process of --devices does: what is marked there is not
done again. Another one fills a part file in its own temporary folder and sends its rows, which the command writes.
"""

import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, PENDING
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.datasets import Dataset
from amnet_common.errors import AmnetError, BusyError, CollectionError, DatasetError
from amnet_common.image_files import is_there
from extract.clock import Clock
from extract.job import Job
from extract.opening import Tools, load_tools, open_job
from extract.pipeline import RowReport
from extract.ready import made_ready
from extract.request import Shard
from extract.sharing import Share, filled, job_of

LOOKS = 16  # images that a worker looks for before it begins
FREED = 5.0  # seconds after which a worker that was lost has let go of its rows


@dataclass(frozen=True)
class Common:
    """Hold what all tasks share: a share without rows, the file that is meant, and what a part of it must be of."""

    share: Share
    inode: int  # of the file; with its uuid it tells the file from a copy
    spec: Spec
    kernel_path: Mapping[str, Any]
    scales: np.ndarray | None
    rows_a_message: int


@dataclass(frozen=True)
class Block:
    """Hold what one task fills, as a Share does."""

    rows: tuple[int, ...]
    redo: tuple[int, ...]
    missing: frozenset[int]
    row_range: range

    @property
    def all(self) -> list[int]:
        """Return the rows that it fills, ascending."""
        return sorted({*self.rows, *self.redo})


@dataclass(frozen=True)
class Rows:
    """Hold n rows as they are stored, for the command to write: records (n,), boxes (n, V, 5), and the features
    (V, h, w, D) of each, none of a failed one.
    """

    rows: np.ndarray
    images: np.ndarray
    boxes: np.ndarray
    features: Sequence[np.ndarray]


def fill_block(common: Common, block: Block) -> Iterator[list[object]]:
    """Fill a block; yield lists of reports, with Rows where the command is to write them: a list for each
    `rows_a_message` rows, then the seconds of every stage.

    Raises as `extract_rows`, and what makes a worker unfit: DatasetError if it does not see the images.
    """
    share = replace(common.share, rows=block.rows, redo=block.redo, missing=block.missing, row_range=block.row_range)
    refuse_unseen(share.request.dataset, sorted(set(block.all) - block.missing))
    clock = Clock()
    yield from (in_place if sees_the_file(common) else by_part)(common, share, block.all, clock)
    yield [Counter(clock.seconds)]


def refuse_unseen(dataset: Dataset, rows: Sequence[int]) -> None:
    """Raise DatasetError if a machine sees none of the first of these images, which the command has seen."""
    found = (is_there(dataset.image_root / dataset.ids[row], now=True) for row in rows[:LOOKS])
    if rows and not any(found):
        raise DatasetError(
            f"{dataset.image_root}: expected the images on every machine of the cluster, found none of them on "
            f"{os.uname().nodename}; mount the folder there"
        )


def sees_the_file(common: Common) -> bool:
    """Tell whether this machine sees the very file that is filled, and no copy of it."""
    path = common.share.request.out
    try:
        return os.stat(path).st_ino == common.inode and Collection(path).uuid == common.share.uuid
    except (OSError, CollectionError):
        return False


def in_place(common: Common, share: Share, rows: Sequence[int], clock: Clock) -> Iterator[list[object]]:
    """Fill the rows of a share in the file; yield lists of reports."""
    tools = tools_for(common, job_of(share, Collection(share.request.out)))
    until = time.monotonic() + FREED
    while True:
        try:
            with contextlib.closing(filled(share, tools, clock)) as reports:
                yield from in_messages(reports, rows, common.rows_a_message)
            return
        except BusyError:  # before the first row: who had them is being killed
            if time.monotonic() > until:
                raise
            time.sleep(FREED / 10)


def in_messages(reports: Iterable[RowReport], rows: Sequence[int], size: int) -> Iterator[list[object]]:
    """Yield reports of some of `rows`, ascending, in as many lists as there are bunches of `size` rows (pure)."""
    place = {row: at // size for at, row in enumerate(rows)}
    waiting: list[object] = []
    given, count = 0, -(-len(rows) // size)
    for report in reports:
        while place[report.row] > given:
            yield waiting
            waiting, given = [], given + 1
        waiting.append(report)
    for _ in range(given, count):
        yield waiting
        waiting = []


def by_part(common: Common, share: Share, rows: Sequence[int], clock: Clock) -> Iterator[list[object]]:
    """Fill the rows of a share in a file of this machine, which goes at the end; yield lists of Rows and reports."""
    with tempfile.TemporaryDirectory(prefix="amnet-") as folder:
        part = part_of(common, share, rows, Path(folder) / "part.h5")
        tools = tools_for(common, job_of(part, Collection(part.request.out)))
        reports: dict[int, RowReport] = {}
        failure = None
        try:
            with contextlib.closing(filled(part, tools, clock)) as told:
                reports = {report.row: replace(report, row=rows[report.row]) for report in told}
        except AmnetError as error:  # what is finished by then is sent
            failure = error
        collection = Collection(part.request.out)
        for start in range(0, len(rows), common.rows_a_message):
            own = np.arange(start, min(start + common.rows_a_message, len(rows)))
            own = own[collection.status[own] != PENDING]
            yield [rows_of(collection, own, rows), *(reports[row] for row in own.tolist() if row in reports)]
        if failure:
            raise failure


def part_of(common: Common, share: Share, rows: Sequence[int], path: Path) -> Share:
    """Make an empty file for rows of a collection, of the same spec, and return the share that fills all of it."""
    request, count = share.request, len(rows)
    dataset = Dataset(request.dataset.name, request.dataset.image_root, tuple(request.dataset.ids[row] for row in rows))
    uuid = create_skeleton(path, dataset, request.plan.views, common.spec, common.kernel_path, {}, common.scales)
    own = replace(request, out=path, dataset=dataset, shard=Shard(), limit=None)
    missing = frozenset(at for at, row in enumerate(rows) if row in share.missing)
    return replace(
        share, request=own, rows=(*range(count),), redo=(), missing=missing, row_range=range(count), uuid=uuid
    )


def rows_of(collection: Collection, own: np.ndarray, rows: Sequence[int]) -> Rows:
    """Read rows `own` (n,) of a part, to be row `rows[i]` of the collection each."""
    views, done = collection.views, own[collection.status[own] == DONE]
    read = collection.read(np.repeat(done, views), np.tile(np.arange(views), len(done)), check=True)
    features = dict(zip(done.tolist(), read.reshape(-1, views, *collection.view_shape), strict=True))
    none = read[:0]
    return Rows(np.array([rows[row] for row in own.tolist()], np.int64), collection.images[own], collection.boxes[own],
                [features.get(row, none) for row in own.tolist()])  # fmt: skip


_KEPT: dict[str, Tools] = {}  # the tools of the collection that this worker process was at last, by its uuid


def tools_for(common: Common, job: Job) -> Tools:
    """Load the tools of a job, or take those that a task before has left in this process."""
    uuid = common.share.uuid
    tools = _KEPT.get(uuid) or load_tools(job, common.share.hardware)
    job = open_job(job, tools)
    if uuid not in _KEPT:
        _KEPT.clear()
        _KEPT[uuid] = made_ready(tools, job)
    return _KEPT[uuid]
