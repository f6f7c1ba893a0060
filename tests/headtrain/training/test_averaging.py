"""The running average against the sum written out."""

import pytest
import torch

from headtrain.heads.paper import PaperHead
from headtrain.training.averaging import RunningAverage


@pytest.mark.parametrize(
    ("decay", "keeps"), [(0.98, [2 / 11, 3 / 12, 4 / 13]), (0.2, [2 / 11, 0.2, 0.2]), (0.0, [0] * 3)]
)
def test_the_average_forgets_its_beginning_and_follows_the_weights(tiny, decay, keeps):
    head = PaperHead(tiny.head)
    average, wanted = RunningAverage(head, decay), head.attention.M.detach().double()
    for keep in keeps:
        torch.nn.init.normal_(head.attention.M)
        average.update(head)
        wanted = keep * wanted + (1 - keep) * head.attention.M.detach()
    torch.testing.assert_close(average.head.attention.M.double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_average_leaves_the_head_alone(tiny):
    head = PaperHead(tiny.head)
    before = head.attention.M.clone()
    RunningAverage(head, 0.9).update(head)
    assert torch.equal(head.attention.M, before)
    assert head.attention.M.requires_grad
