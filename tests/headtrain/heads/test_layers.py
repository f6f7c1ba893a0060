import pytest
import torch
from torch import nn

from headtrain.heads.layers import LstmCell, affine


@pytest.mark.parametrize(("layer", "torchs"), [("", nn.LSTMCell), ("_l0", nn.LSTM)])
def test_the_lstm_cell_is_that_of_torch(layer, torchs):
    torch.manual_seed(1)
    cell = LstmCell(4, 3, layer)
    torch.manual_seed(1)
    reference = torchs(4, 3)
    state = reference.state_dict()
    assert [*cell.state_dict()] == [*state]
    assert all(torch.equal(value, state[name]) for name, value in cell.state_dict().items())  # it starts alike
    x, h, c = torch.rand(5, 4), torch.rand(5, 3), torch.rand(5, 3)
    if layer:
        _, wanted = reference(x[None], (h[None], c[None]))
        wanted = [part[0] for part in wanted]
    else:
        wanted = reference(x, (h, c))
    for found, one in zip(cell(x, (h, c)), wanted, strict=True):
        torch.testing.assert_close(found, one)


@pytest.mark.parametrize("bias", [True, False])
def test_an_affine_layer_is_that_of_torch_and_rounds_its_product_alone(bias):
    layer, x = nn.Linear(4, 3, bias=bias), torch.rand(5, 4)
    torch.testing.assert_close(affine(layer, x), layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert affine(layer, x).dtype == (torch.float32 if bias else torch.bfloat16)
