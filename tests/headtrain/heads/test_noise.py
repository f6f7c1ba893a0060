"""What a head drops out by."""

import torch

from headtrain.heads.noise import STILL, Handed, Listed


def test_nothing_is_dropped_while_still():
    x = torch.rand(5, 4)
    assert STILL.drop(x, 0.9) is x


def test_gradients_pass_where_values_do():
    x, factors = torch.ones(100, requires_grad=True), (torch.arange(100) % 2) * 2.0
    Handed([factors]).drop(x, 0.5).sum().backward()
    assert torch.equal(x.grad, factors)


def test_what_is_handed_out_comes_in_its_order():
    noise = Handed([torch.full((2,), 2.0), None])
    assert noise.drop(torch.ones(2), 0.5).tolist() == [2, 2]
    assert noise.drop(torch.ones(2), 0.0).tolist() == [1, 1]


def test_places_are_listed_also_where_nothing_is_dropped():
    noise = Listed("cpu")
    noise.drop(noise.drop(torch.ones(3, 4, 5), 0.5, "channel"), 0.0)
    assert [(one.share, one.shape) for one in noise.sites] == [(0.5, (3, 1, 5)), (0.0, (3, 4, 5))]
