"""A table scored by the workers of a Ray cluster: each task scores some blocks, the command writes all in order."""

import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from amnet_common.collection import Collection, JoinedCollection
from amnet_common.commands import deferred_interrupt
from amnet_common.errors import CollectionError, RunError
from amnet_common.ray_tasks import Cluster, Need, in_order
from headtrain.compute.kernels import Kernels
from headtrain.heads.checkpoint import checkpoint_of
from headtrain.heads.head import Head
from headtrain.heads.own import name_head
from headtrain.scoring.blocks import BegunBlock, begun_block
from headtrain.scoring.ensemble import Said, load_ensemble, predict_together
from headtrain.scoring.job import Block, Scoring, sha256_of, views_of
from headtrain.scoring.rows import ScoreRow

BLOCKS_A_TASK = {"cpu": 4, "cuda": 256}  # a process is begun anew for each task with a card
AT_ONCE = 64  # tasks whose rows of the older table are in memory


@dataclass(frozen=True)
class Common:
    """Hold what all tasks share: what is scored, by what, and how."""

    heads: tuple[tuple[str, str], ...]  # where they are, and the hashes of their files
    collections: tuple[tuple[tuple[Path, ...], str], ...]  # files that are one collection together, and its id
    views: tuple[range, ...]  # of each collection
    kernels: Kernels
    device: str
    threads: int
    classes: tuple[str, ...]  # of heads of the user's own


class RayScoring:
    """Score blocks by tasks of a cluster, as `score_here` does; `classes`: of heads of one's own, from --arch."""

    def __init__(self, cluster: Cluster, classes: Sequence[str]) -> None:
        self.cluster, self.classes = cluster, classes

    def __call__(self, job: Scoring, some: Iterable[Block]) -> Iterator[tuple[Block, list[ScoreRow]]]:
        """Yield blocks with their rows, in order. Raises WorkerError for a task that could not be done, and Ctrl-C,
        SIGTERM and SIGHUP when the tasks have stopped.
        """
        common = common_of(job, self.classes)
        need = Need(1, 1) if common.device == "cuda" else Need(common.threads)
        begun: deque[tuple[Block, BegunBlock]] = deque()
        numbers = {id(one): number for number, one in enumerate(job.collections)}

        def tasks() -> Iterator[list[tuple[int, np.ndarray]]]:
            left = iter(some)
            while together := [*itertools.islice(left, BLOCKS_A_TASK.get(common.device, 4))]:
                now = [(one, begun_block(one.collection, one.rows, one.before)) for one in together]
                begun.extend(now)
                yield [(numbers[id(one.collection)], block.fresh) for one, block in now]

        with deferred_interrupt() as check_interrupt:
            told = self.cluster.by_tasks(score_blocks, common, tasks(), need, check_interrupt, AT_ONCE)
            with contextlib.closing(told):
                for said in in_order(told):
                    one, block = begun.popleft()
                    yield one, block.ended(said)


def common_of(job: Scoring, classes: Sequence[str]) -> Common:
    """Describe a scoring so that another process can open what is scored, and compare."""
    heads = tuple((path, sha256_of(checkpoint_of(Path(path)))) for path in job.heads)
    collections = tuple((files_of(one), one.uuid) for one in job.collections)
    views = tuple(views_of(job, one) for one in job.collections)
    device = next(iter(job.heads.values())).target_mean.device.type
    return Common(heads, collections, views, job.kernels, device, torch.get_num_threads(), tuple(classes))


def files_of(collection: Collection) -> tuple[Path, ...]:
    """Return the file of a collection, or those of collections that are joined."""
    return collection.files if isinstance(collection, JoinedCollection) else (collection.path,)


def score_blocks(common: Common, task: Sequence[tuple[int, np.ndarray]]) -> Iterator[list[Said | None]]:
    """Score rows of collections, in the process that Ray has chosen; yield what the heads say of each block.

    Raises CollectionError, RunError where this machine sees other files.
    """
    torch.set_num_threads(common.threads)
    heads, collections = opened(common)
    for number, rows in task:
        views = common.views[number]
        yield [predict_together(heads, collections[number], rows, views, common.kernels) if len(rows) else None]


@lru_cache(maxsize=1)
def opened(common: Common) -> tuple[list[Head], list[Collection]]:
    """Load heads and open collections, once in a process. Raises CollectionError, RunError."""
    for reference in common.classes:
        name_head(reference)
    heads = load_ensemble([Path(path) for path, _ in common.heads], common.device)
    for path, expected in common.heads:
        if sha256_of(checkpoint_of(Path(path))) != expected:
            raise RunError(f"--head {path}: expected the same head on every machine of the cluster, found another")
    collections = []
    for files, uuid in common.collections:
        one = [Collection(file) for file in files]
        collections.append(one[0] if len(one) == 1 else JoinedCollection(one))
        if collections[-1].uuid != uuid:
            raise CollectionError(
                f"--features {collections[-1].path}: expected the same collection on every machine of the cluster, "
                "found another"
            )
    return [*heads.values()], collections
