"""A sweep: its passes one after another, heads that are finished or dropped left out."""

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence

from amnet_common.collection import Collection
from headtrain.compute.kernels import EAGER, Kernels
from headtrain.evaluation.metrics import ordering_key
from headtrain.features.batches import Source
from headtrain.features.splits import Subsets
from headtrain.runs.folder import DROPPED
from headtrain.settings.configuration import TrainingConfig
from headtrain.sweep.halving import is_rung, losers
from headtrain.sweep.passes import Pass
from headtrain.training.loop import Choose, Report, keep_all, refuse_missing_views, train_together
from headtrain.training.member import Member

SourceOf = Callable[[int, Sequence[TrainingConfig]], Source]


class Halving:
    """What has been seen at each rung of each split, for heads that come there later, in other passes."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._seen: dict[tuple[int, int], list[float]] = {}  # by split and epoch

    def of_split(self, split: int) -> Choose:
        """What `train_together` asks after each epoch."""

        def prune(members: Sequence[Member]) -> list[Member]:
            going = {n: best_rho(member) for n, member in enumerate(members) if not member.finished}
            epoch = len(members[0].epochs)
            if not going or not is_rung(epoch, self.factor):
                return []
            seen = self._seen.setdefault((split, epoch), [])
            lost = losers(going, seen, self.factor)
            seen.extend(going.values())
            return [members[n] for n in sorted(lost)]

        return prune


def best_rho(member: Member) -> float:
    """The highest validation rho so far."""
    return max((epoch.val_rho for epoch in member.epochs), key=ordering_key)


def sweep(
    collection: Collection, subsets: Mapping[int, Subsets], plan: Sequence[Pass], device: str, check: bool,
    halving: Halving | None = None, source_of: SourceOf | None = None, kernels: Kernels = EAGER,
) -> Generator[Report]:  # fmt: skip
    """Train every pass, going on where runs were stopped; `subsets` by split. Yields and raises as `train_together`.

    `source_of(split, settings)`: what the passes of a split read from, asked for when its first one begins.
    """
    for one in plan:
        for job in one.jobs:
            refuse_missing_views(job.config, collection)
    for split, group in itertools.groupby(plan, key=lambda one: one.split):
        of_split = [*group]
        settings = [job.config.training for one in of_split for job in one.jobs]
        source = None  # of the split before: its memory is wanted
        source = source_of(split, settings) if source_of else None
        prune = halving.of_split(split) if halving else keep_all
        for one in of_split:
            jobs = [job for job in one.jobs if not (halving and (job.run / DROPPED).exists())]
            yield from train_together(
                collection, subsets[split], jobs, split, device, check, True, prune, source, kernels
            )
