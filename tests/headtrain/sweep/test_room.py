"""A pass that has no room is halved, down to one head, and heads that have ended are left alone."""

import pytest
import torch
from pretended_gpu import NO_MEMORY

from headtrain.runs.log import Epoch
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET
from headtrain.sweep.room import Halved, NoRoom, Room, trained_in_room
from headtrain.training.loop import Pruned
from headtrain.training.planned import PlannedRun

EPOCH = Epoch(1, 0.0, 0.0, 0.5, 0.1, 1.0, True, True)


@pytest.fixture
def planned(tmp_path):
    return [PlannedRun(override(AMNET, seed=seed), tmp_path / str(seed)) for seed in range(8)]


class Training:
    """In place of `train_together`: one epoch of each head, then its end; with more heads than `room`, no memory."""

    def __init__(self, room, after=0):
        self.room, self.after = room, after  # so many reports come before memory runs out
        self.passes = []

    def __call__(self, heads):
        self.passes.append([one.run.name for one in heads])
        reports = [(one, EPOCH) for one in heads] + [(one, Pruned(1)) for one in heads]
        for n, report in enumerate(reports):
            if len(heads) > self.room and n >= self.after:
                raise torch.OutOfMemoryError(NO_MEMORY)
            yield report


def ended(reports):
    return [one.run.name for one, report in reports if isinstance(report, Pruned)]


def test_a_pass_is_halved_until_it_has_room_and_every_head_ends_once(planned):
    training = Training(room=2)
    reports = [*trained_in_room(planned, Room(), training, "cpu")]
    assert training.passes == [list("01234567"), list("0123"), list("01"), list("23"), list("45"), list("67")]
    assert ended(reports) == list("01234567")
    assert [(one.heads, one.most) for _, one in reports if isinstance(one, Halved)] == [(8, 4), (4, 2)]


def test_a_head_without_room_alone_is_reported_and_the_others_go_on(planned):
    def train(heads):
        if len(heads) > 1 or heads[0] is planned[1]:
            raise torch.OutOfMemoryError(NO_MEMORY)
        yield heads[0], Pruned(1)

    reports = [*trained_in_room(planned[:4], Room(), train, "cpu")]
    assert [one.run.name for one, report in reports if isinstance(report, NoRoom)] == ["1"]
    assert ended(reports) == list("023")


def test_heads_that_have_ended_are_not_trained_again(planned):
    training = Training(room=4, after=8 + 3)  # of eight, three have ended
    reports = [*trained_in_room(planned, Room(), training, "cpu")]
    assert training.passes == [list("01234567"), list("34"), list("567")]
    assert ended(reports) == list("01234567")


def test_later_passes_of_the_same_shape_begin_with_what_has_room(planned):
    room, training = Room(), Training(room=2)
    list(trained_in_room(planned[:4], room, training, "cpu"))
    training.passes.clear()
    list(trained_in_room(planned[4:], room, training, "cpu"))
    assert training.passes == [list("45"), list("67")]
    other = [PlannedRun(override(one.config, steps=1), one.run) for one in planned[:3]]
    assert [len(piece) for piece in room.pieces(other)] == [3]


def test_other_errors_end_the_sweep(planned):
    def train(_):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(trained_in_room(planned, Room(), train, "cpu"))


def test_no_heads_are_no_pass():
    assert [*trained_in_room([], Room(), Training(1), "cpu")] == []
