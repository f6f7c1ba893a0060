"""A head that leaves its bank is freed: live tensors are counted while heads of one bank end after different epochs."""

import contextlib
import gc
import warnings

import pytest
import torch

from headtrain.features.splits import split_subsets
from headtrain.runs.documents import Result
from headtrain.settings.configuration import override
from headtrain.training.loop import Pruned, train_together
from headtrain.training.planned import PlannedRun, Setup

HEADS = 4


def live_bytes() -> int:
    """What all tensors of the process hold, common memory once."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # objects that warn when they are looked at
        tensors = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    own = [one for one in tensors if not torch._C._functorch.is_batchedtensor(one)]  # the compiler keeps batched ones
    dense = [one.untyped_storage() for one in own if one.layout is torch.strided]  # and sparse ones
    found = {}
    for one in dense:
        with contextlib.suppress(RuntimeError):  # of a rehearsal, which has no memory
            found[one.data_ptr()] = one.nbytes()
    return sum(found.values())


@pytest.fixture
def setup(make_learnable):
    collection = make_learnable()
    return Setup(collection, split_subsets(collection, 1, 0, allow_missing=False), 1)


@pytest.fixture
def base(small):
    return override(small, attention=False, hidden=128)


def held_after(reports, kind) -> list[int]:
    """Bytes that trainings hold when a head ends as `kind`, beside what was there before."""
    before, held = live_bytes(), []
    for _, report in reports:
        if isinstance(report, kind):
            held.append(live_bytes() - before)
    return held


def test_the_memory_of_finished_heads_is_freed_one_by_one(setup, base, tmp_path):
    planned = [PlannedRun(override(base, epochs=number), tmp_path / str(number)) for number in range(1, HEADS + 1)]
    held = held_after(train_together(setup, planned), Result)
    of_one = held[0] / (HEADS - 1)
    assert held[:-1] == pytest.approx([of_one * left for left in range(HEADS - 1, 0, -1)], rel=0.05)
    assert held[-1] < 0.01 * of_one


def test_the_memory_of_pruned_heads_is_freed_at_once(setup, base, tmp_path):
    planned = [PlannedRun(override(base, epochs=3, seed=seed), tmp_path / str(seed)) for seed in range(HEADS)]
    held = held_after(train_together(setup, planned, lambda members: members[1:]), Pruned)
    assert len(held) == HEADS - 1
    assert held == sorted(held, reverse=True)
    assert held[-1] < held[0] / 3  # that of the one left; two others had still to be reported at first


def test_nothing_is_held_of_a_training_that_is_over(setup, base, tmp_path):
    planned = [PlannedRun(base, tmp_path / "finished"), PlannedRun(override(base, seed=1), tmp_path / "pruned")]
    before = live_bytes()
    assert len(list(train_together(setup, planned, lambda members: members[1:]))) == 6  # 4 epochs and 2 ends
    assert live_bytes() - before < 100_000
