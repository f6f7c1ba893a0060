"""The loss, against values worked out by hand."""

import pytest
import torch

from headtrain.heads.head import Output
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.losses import Penalties, attention_penalty, loss_terms, order_penalty, squared_error


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


def test_the_released_penalty_wants_a_fifth_of_each_place_at_each_step():
    # one image, T = 2: 0.4 - 1.5 and 0.4 - 0.5
    output = output_with([[[1.0, 0.0], [0.5, 0.5]]])
    assert attention_penalty(output, "released").item() == pytest.approx(1.1**2 + 0.1**2)


def test_the_released_order_penalty_is_that_of_the_authors_code():
    steps = torch.tensor([[[1.0, 2.0, 3.0]], [[0.0, -1.0, 1.0]]])  # two heads of one image
    wanted = [(1.0) ** 2 + (2 * 0.1) ** 2 + (3 * 0.01) ** 2, (0.1) ** 2 + 0.01**2]
    found = order_penalty(Output(steps.sum(-1), steps, steps), "released")
    assert found.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(("order", "wanted"), [("ascending", 0.25 / 2), ("descending", (4 + 1) / 2)])
def test_the_order_penalty_counts_the_steps_that_go_the_other_way(order, wanted):
    steps = torch.tensor([[1.0, 3.0, 2.5], [0.0, 1.0, 1.0]])  # rises of 2, -0.5; 1, 0
    assert order_penalty(Output(steps[:, 0], steps, steps), order).item() == pytest.approx(wanted)


def test_the_loss_of_each_head_adds_its_own_weights():
    score, steps = torch.tensor([[1.0]] * 2), torch.tensor([[[1.0, 0.0]]] * 2)
    output = Output(score, steps, torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]] * 2))
    settings = [TrainingConfig(penalty=0.1, order_penalty=2.0), TrainingConfig(penalty=0.3)]
    error, attention, loss = loss_terms(output, torch.tensor([[3.0], [0.0]]), Penalties(settings, "cpu"))
    assert error.tolist() == [4.0, 1.0]
    assert attention.tolist() == [0.5, 0.5]
    assert loss.tolist() == pytest.approx([4.0 + 0.1 * 0.5 + 2.0 * 1.0, 1.0 + 0.3 * 0.5])
