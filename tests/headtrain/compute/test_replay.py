"""When a step is run as it is written, recorded and replayed; the card is pretended, its graph is the step itself."""

import contextlib

import pytest
import torch

from headtrain.compute import replay
from headtrain.compute.replay import WARM, Replay


class Card:
    """Stands for torch.cuda: what is recorded runs when it is replayed, on the tensors of the recording."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses, self.recording, self.recorded, self.replays = refuses, False, None, 0
        self.CUDAGraph, self.Stream = lambda: self, lambda _: self
        self.current_stream = lambda _: self
        self.wait_stream = lambda _: None
        self.stream = lambda _: contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, _, stream, capture_error_mode):  # noqa: ARG002 - as torch's
        self.recording = True
        try:
            yield
        finally:
            self.recording = False

    def replay(self):
        self.replays += 1
        self.recorded()


@pytest.fixture
def card(monkeypatch, request):
    found = Card(*getattr(request, "param", ()))
    monkeypatch.setattr(torch, "cuda", found)
    monkeypatch.setattr(replay, "replays", lambda _: True)
    return found


def step_on(card, total):
    """A step that adds what it is given; recorded, it does nothing until it is replayed."""

    def step(x):
        if card.recording:
            if card.refuses:
                raise RuntimeError("operation not permitted when stream is capturing")
            card.recorded = lambda: total.add_(x.sum())
        else:
            total.add_(x.sum())

    return step


@pytest.mark.parametrize("card", [(False,), (True,)], indirect=True)
def test_every_step_is_taken_once_whether_a_graph_can_be_made_or_not(card):
    total, wanted = torch.zeros(()), 0.0
    take = Replay(step_on(card, total), torch.device("cpu"))
    for number in range(WARM + 4):
        take(torch.full((3,), float(number)))
        wanted += 3 * number
        assert total == wanted
    assert card.replays == (0 if card.refuses else 4)


def test_a_smaller_rest_is_run_as_it_is_written(card):
    total = torch.zeros(())
    take = Replay(step_on(card, total), torch.device("cpu"))
    for _ in range(WARM + 1):
        take(torch.ones(3))
    take(torch.ones(2))
    assert (total, card.replays) == (3 * (WARM + 1) + 2, 1)


def test_nothing_is_replayed_where_there_is_no_card():
    assert not replay.replays(torch.device("cpu"))
    assert not replay.replays(torch.device("mps"))
