"""The head against the paper's equations written out in NumPy, from a checkpoint and features alone."""

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from headtrain.heads.checkpoint import load_head, save_head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.settings.configuration import override


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def softmax(v):
    return np.exp(v - v.max()) / np.exp(v - v.max()).sum()


def lstm(p, z, h, c):
    """(3), gates in the order i f g o."""
    gates = p["lstm.weight_ih"] @ z + p["lstm.bias_ih"] + p["lstm.weight_hh"] @ h + p["lstm.bias_hh"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def attention_logits(p, x, h):
    """(8), a place at a time; (9) without attention."""
    if "attention.K.weight" not in p:
        return np.ones(len(x))
    inner = [p["attention.U.weight"] @ h + p["attention.K.weight"] @ place + p["attention.b"] for place in x]
    return np.array([(m * np.tanh(v)).sum() for m, v in zip(p["attention.M"], inner, strict=True)])


def paper_head(p, x, steps):
    """Score, step scores and attention of one image, x (L, D) raw features, on the data's scale."""
    x = (x - p["input_mean"]) / p["input_std"]
    h = np.tanh(p["init_h.weight"] @ x.mean(0) + p["init_h.bias"])  # (12)
    c = np.tanh(p["init_c.weight"] @ x.mean(0) + p["init_c.bias"])
    scores, maps = [], []
    for _ in range(steps):
        a = softmax(attention_logits(p, x, h))  # (6)
        h, c = lstm(p, (a[:, None] * x).sum(0), h, c)  # (4), (3)
        hidden = np.maximum(p["regress.hidden.weight"] @ h + p["regress.hidden.bias"], 0)
        m = (p["regress.out.weight"] @ hidden + p["regress.out.bias"]).item()  # (10)
        scores.append(m / p["target_scale"] + p["target_mean"] / steps)
        maps.append(a)
    return sum(scores), np.array(scores), np.array(maps)  # (11)


def random_head(config, seed=0):
    """A head with every parameter and statistic drawn at random."""
    head, draw = PaperHead(config.head), torch.Generator().manual_seed(seed)
    for tensor in head.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=draw))
    head.input_std.copy_(head.input_std.abs() + 0.5)
    head.target_scale.fill_(3.0)
    return head


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_scores_follow_the_papers_equations(tiny, spec, tmp_path, attention, steps):
    config = override(tiny, attention=attention, steps=steps)
    save_head(tmp_path / "h.safetensors", random_head(config), Provenance(config, spec.as_dict(), 1, 1))
    x = np.random.default_rng(1).random((4, 6, 5)).astype(np.float32)
    output = load_head(tmp_path / "h.safetensors").predict(x)
    stored = safetensors.numpy.load_file(tmp_path / "h.safetensors")
    p = {name: value.astype(np.float64) for name, value in stored.items()}
    for i, image in enumerate(x.astype(np.float64)):
        for found, wanted in zip(output, paper_head(p, image, steps), strict=True):
            np.testing.assert_allclose(found[i].numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_without_attention_every_step_sees_the_mean_of_the_features(tiny):
    config = override(tiny, attention=False)
    head, x = random_head(config), torch.rand(3, 6, 5)
    cell = nn.LSTMCell(5, 4)
    cell.load_state_dict(head.lstm.state_dict())
    mean = ((x - head.input_mean) / head.input_std).mean(1)
    state = torch.tanh(head.init_h(mean)), torch.tanh(head.init_c(mean))
    head.eval()
    for t in range(3):
        state = cell(mean, state)
        torch.testing.assert_close(head.regress(state[0]), head(x).steps[:, t])


def test_without_attention_the_weights_are_uniform_and_no_attention_parameters_exist(tiny):
    head = random_head(override(tiny, attention=False))
    assert torch.allclose(head.predict(torch.rand(2, 6, 5)).attention, torch.tensor(1 / 6))
    assert not [name for name in head.state_dict() if name.startswith("attention")]


def test_parameters_have_the_papers_letters_and_shapes():
    L, D, H = 196, 1024, 1024
    wanted = {
        "attention.K.weight": (D, D), "attention.U.weight": (D, H), "attention.b": (D,), "attention.M": (L, D),
        "init_h.weight": (H, D), "init_h.bias": (H,), "init_c.weight": (H, D), "init_c.bias": (H,),
        "lstm.weight_ih": (4 * H, D), "lstm.weight_hh": (4 * H, H), "lstm.bias_ih": (4 * H,), "lstm.bias_hh": (4 * H,),
        "regress.hidden.weight": (512, H), "regress.hidden.bias": (512,), "regress.out.weight": (1, 512),
        "regress.out.bias": (1,), "input_mean": (D,), "input_std": (D,), "target_mean": (), "target_scale": (),
    }  # fmt: skip
    with torch.device("meta"):
        from headtrain.settings.presets import AMNET

        head = PaperHead(AMNET.head)
    assert {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()} == wanted
