import math

import pytest
import torch

from headtrain.heads.dropout import Dropout, mask, set_noise


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


def test_equal_generators_give_equal_masks_whatever_torch_draws_elsewhere():
    x, results = torch.ones(7, 5), []
    for _ in range(2):
        torch.rand(3)
        layer = Dropout(0.5).train()
        set_noise(layer, torch.Generator().manual_seed(4))
        results.append(layer(x))
    assert torch.equal(*results)


def test_in_evaluation_mode_nothing_is_dropped():
    x = torch.rand(5, 4)
    assert Dropout(0.9).eval()(x) is x


def test_gradients_pass_where_values_do():
    x = torch.ones(100, requires_grad=True)
    out = Dropout(0.5).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out)
