"""Passes that have no room in memory: halved, down to one head, each half from the epochs that its heads have saved."""

from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amnet_common.machine.memory import release
from amnet_common.out_of_memory import is_out_of_memory, reason
from headtrain.compute.bank.grouping import bank_key
from headtrain.runs.log import Epoch
from headtrain.sweep.passes import evenly
from headtrain.training.planned import PlannedRun


@dataclass(frozen=True)
class Halved:
    """Report that so many heads had no room together, and go on in passes of at most `most`."""

    heads: int
    most: int
    why: str


@dataclass(frozen=True)
class NoRoom:
    """Report a head that has no room even alone: the others go on without it."""

    why: str


class Room:
    """Remember how many heads of a shape have room, once that many had none."""

    def __init__(self) -> None:
        self._most: dict[Hashable, int] = {}

    def pieces(self, planned: Sequence[PlannedRun]) -> list[tuple[PlannedRun, ...]]:
        """Cut a pass into as many as are known to be needed."""
        return evenly(planned, self._most.get(bank_key(planned[0].config), len(planned)))

    def halve(self, planned: Sequence[PlannedRun]) -> int:
        """Note that these heads had no room together, and return how many are tried from now on."""
        self._most[bank_key(planned[0].config)] = most = (len(planned) + 1) // 2
        return most


Train = Callable[[Sequence[PlannedRun]], Iterable[tuple[PlannedRun, Any]]]
Reports = Generator[tuple[PlannedRun, Any]]  # of `train_together`, Halved, NoRoom


def trained_in_room(planned: Sequence[PlannedRun], room: Room, train: Train, device: str) -> Reports:
    """Train a pass by `train`, which resumes, in parts where memory runs out. Yields as `train`, Halved before the
    parts, and NoRoom for a head that has none alone; heads that have ended are not trained again.
    """
    waiting = deque([tuple(planned)] if planned else [])
    while waiting:
        piece, *others = room.pieces(waiting.popleft())
        waiting.extendleft(reversed(others))
        left, why = list(piece), ""
        try:
            for one, report in train(piece):
                if not isinstance(report, Epoch):
                    left.remove(one)
                yield one, report
        except Exception as error:  # CUDA, cuBLAS and the compiler each raise their own
            if not is_out_of_memory(error):
                raise
            why = reason(error)
        if why:  # the error is gone by now, and with it what its frames held
            release(device)
            if len(piece) == 1:
                yield from ((one, NoRoom(why)) for one in left)
            elif left:
                yield left[0], Halved(len(left), room.halve(left), why)
                waiting.appendleft(tuple(left))
