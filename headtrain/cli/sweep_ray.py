"""A sweep shared among the workers of a Ray cluster: each pass is a task, into the same folders."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch

from amnet_common.commands import deferred_interrupt
from amnet_common.ray_tasks import Cluster, Ended, Need
from headtrain.cli.sweep_shares import Share, Shared, train_share
from headtrain.sweep.dividing import divided
from headtrain.sweep.passes import Pass
from headtrain.sweep.sweeping import SweepReport


class RaySweep(Shared):
    """Train passes by tasks of a cluster, and remember which were lost; `device`: of the command, of what kind theirs
    are.
    """

    def __init__(self, common: Share, device: str, cluster: Cluster) -> None:
        super().__init__(common, [device])
        self.cluster, self.kind, self.threads = cluster, torch.device(device).type, torch.get_num_threads()
        self.need = Need(1, 1) if self.kind == "cuda" else Need(self.threads)

    def train(self, plan: Sequence[Pass]) -> Generator[SweepReport]:
        """Train passes, one a task; those of a split together where --halving compares them, and as many parts as there
        is room for where passes are made by the memory of a card. Yield what `sweep` yields, of each task at its end.

        Ctrl-C, SIGTERM and SIGHUP cancel them all, which keep the epochs that they have, before one is raised.
        """
        places = self.cluster.places(self.need)
        count = max(1, sum(places)) if self.common.counted else len(plan)
        parts = divided(plan, count, bool(self.common.halving))
        computing = replace(self.common.computing, device=self.kind, sharers=max(places, default=1))
        self.given = [replace(self.common, plan=(*part,), computing=computing, threads=self.threads) for part in parts]
        with deferred_interrupt() as check_interrupt:
            told = self.cluster.by_tasks(train_part, None, self.given, self.need, check_interrupt)
            with contextlib.closing(told):
                yield from self.heard(pair for pair in told if not isinstance(pair[1], Ended))

    def name(self, number: int) -> str:
        """Return how a task is called."""
        return f"task {number + 1} of {len(self.given)}"

    def describe(self, points: int, splits: int, plan: Sequence[Pass]) -> str:
        """Describe how much a grid has to do, and by whom: configurations, splits, heads, room in the cluster."""
        by = f"by Ray, {sum(self.cluster.places(self.need))} tasks at once, each with {self.need}"
        return self.described(points, splits, plan, by, "task")


def train_part(_: None, share: Share) -> Iterator[list[object]]:
    """Train the passes of a share, in the process that Ray has chosen; yield once, all that `sweep` yields.

    Done again, runs go on from their saved epochs. Raises as `sweep` does.
    """
    messages: list[object] = []
    try:
        train_share(share, messages.append)
    except Exception:
        yield messages
        raise
    yield messages
