import math

import pytest
import torch

from headtrain.heads.noise import STILL, Drawn, Handed, Listed, mask


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_share_of_dropped_values_is_within_four_standard_errors(share):
    n = 400_000
    dropped = (mask((n,), share, torch.device("cpu"), torch.Generator().manual_seed(1)) == 0).double().mean().item()
    assert abs(dropped - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_neighbours_that_share_an_integer_are_independent():
    kept = mask((100_000, 4), 0.5, torch.device("cpu"), torch.Generator().manual_seed(2)) > 0
    correlation = torch.corrcoef(kept.double().T) - torch.eye(4)
    assert correlation.abs().max() < 4 / math.sqrt(100_000)


def test_what_is_kept_is_raised_so_that_the_mean_stays():
    values = mask((1000,), 0.8, torch.device("cpu"), torch.Generator().manual_seed(3)).unique()
    assert values.tolist() == pytest.approx([0.0, 5.0], abs=1e-3)


def test_the_bits_are_those_of_every_version_before():
    """A run that was begun by an older version goes on to the same weights."""
    values = mask((3, 5), 0.5, torch.device("cpu"), torch.Generator().manual_seed(0)) > 0
    assert values.int().tolist() == [[1, 1, 0, 1, 1], [1, 1, 1, 0, 1], [1, 1, 0, 1, 0]]


def test_equal_generators_give_equal_factors_whatever_torch_draws_elsewhere():
    x, results = torch.ones(7, 5), []
    for _ in range(2):
        torch.rand(3)
        results.append(Drawn(torch.Generator().manual_seed(4)).drop(x, 0.5))
    assert torch.equal(*results)


def test_a_channel_of_an_image_is_dropped_at_all_its_locations():
    kept = Drawn(torch.Generator().manual_seed(4)).drop(torch.ones(3, 4, 50), 0.5, "channel")
    assert torch.equal(kept, kept[:, :1].expand(3, 4, 50))
    assert 0 < (kept == 0).float().mean() < 1


def test_nothing_is_dropped_while_still():
    x = torch.rand(5, 4)
    assert STILL.drop(x, 0.9) is x


def test_gradients_pass_where_values_do():
    x = torch.ones(100, requires_grad=True)
    out = Drawn(torch.Generator().manual_seed(5)).drop(x, 0.5)
    out.sum().backward()
    assert torch.equal(x.grad, out)


def test_what_is_handed_out_comes_in_its_order():
    noise = Handed([torch.full((2,), 2.0), None])
    assert noise.drop(torch.ones(2), 0.5).tolist() == [2, 2]
    assert noise.drop(torch.ones(2), 0.0).tolist() == [1, 1]


def test_places_are_listed_also_where_nothing_is_dropped():
    noise = Listed("cpu")
    noise.drop(noise.drop(torch.ones(3, 4, 5), 0.5, "channel"), 0.0)
    assert [(one.share, one.shape) for one in noise.sites] == [(0.5, (3, 1, 5)), (0.0, (3, 4, 5))]
