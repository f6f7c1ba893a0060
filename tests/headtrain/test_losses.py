"""The loss, against values worked out by hand."""

import pytest
import torch

from headtrain.head import Output
from headtrain.losses import attention_penalty, squared_error


def output_with(attention):
    attention = torch.tensor(attention)
    return Output(torch.zeros(len(attention)), torch.zeros(len(attention), attention.shape[1]), attention)


def test_penalty_of_a_worked_example():
    # two steps, two places: places are looked at 1.5 and 0.5 times in all -> 0.25 + 0.25; the other image 1 and 1 -> 0
    output = output_with([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]])
    assert attention_penalty(output).item() == pytest.approx((0.5 + 0.0) / 2)


def test_penalty_of_uniform_attention_has_its_closed_form():
    L, T = 196, 3
    uniform = torch.full((4, T, L), 1 / L)
    assert attention_penalty(Output(uniform[:, 0, 0], uniform[:, :, 0], uniform)).item() == pytest.approx(
        L * (1 - T / L) ** 2, rel=1e-5
    )


def test_squared_error_is_the_mean_over_the_batch():
    output = output_with([[[1.0]], [[1.0]]])
    assert squared_error(output, torch.tensor([1.0, 3.0])).item() == pytest.approx(5.0)
