"""The fast ways to train against the plain one: float32, eager."""

import shutil
from dataclasses import replace

import pytest
import torch

from amnet_common.errors import ConfigError, RunError
from headtrain.compute.bank.bank import Bank
from headtrain.compute.kernels import BFLOAT16, EAGER, PAYS_FROM, Kernels, choose_kernels, choose_precision, forward_of
from headtrain.features.splits import split_subsets
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import LAST, load_head
from headtrain.settings.configuration import override
from headtrain.training.epoch import epoch_keys
from headtrain.training.loop import train
from headtrain.training.losses import Penalties
from headtrain.training.planned import Setup
from headtrain.training.step import backward

COMPILER = pytest.mark.skipif(not shutil.which("g++"), reason="no compiler: expected g++, which torch.compile calls")
N, B, SIZE = 2, 13, 5  # heads, images of a batch, of a backward pass: the last one is a smaller rest
pytestmark = pytest.mark.filterwarnings("ignore:bf16 and fp16 are mixed in the scheduler node:UserWarning")


@pytest.fixture(params=["paper", "released"])
def config(request, small):
    shares = {"feature_dropout": 0.4, "attention_dropout": 0.2, "regress_dropout": 0.3}
    config = override(small, architecture=request.param, standardise=False, hidden=1024, **shares)
    return override(config, channels=64, hidden=64) if request.param == "paper" else override(config, channels=1024)


def gradients(config, kernels):
    """Of every parameter of two heads, (N, ...) each, after one batch of random views, and the sums of the losses."""
    heads = []
    for number in range(N):
        torch.manual_seed(number)
        heads.append(new_head(config.head).train())
        for parameter in heads[-1].parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    x, y = torch.rand(B, 14, 14, config.head.channels).half(), torch.rand(N, B)
    bank = Bank(heads)
    keys, penalties = (
        epoch_keys([override(config, seed=n).training for n in range(N)], 1, 1, len(bank.places(SIZE))),
        Penalties([config.training] * N, "cpu"),
    )
    sums = backward(forward_of(bank, kernels, SIZE), x, None, y, penalties, keys[0], SIZE)
    return {name: parameter.grad for name, parameter in bank.parameters.items()}, sums


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def test_bfloat16_gradients_point_where_those_of_float32_do(config):
    (wanted, sums), (found, other) = (gradients(config, Kernels(kind)) for kind in ("float32", BFLOAT16))
    torch.testing.assert_close(other, sums, rtol=0.02, atol=0)
    for name, gradient in wanted.items():
        assert found[name].dtype == torch.float32
        if "inconv.bias" not in name:  # before a BatchNorm: its true gradient is zero
            assert cosine(found[name], gradient) > 0.99, name


@COMPILER
@pytest.mark.parametrize("config", ["paper", pytest.param("released", marks=pytest.mark.slow)], indirect=True)
def test_compiled_kernels_give_the_gradients_of_eager_ones(config):
    (wanted, sums), (found, other) = (gradients(config, Kernels(compiled=compiled)) for compiled in (False, True))
    torch.testing.assert_close(other, sums, rtol=1e-4, atol=0)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


@COMPILER
def test_compiled_attention_keeps_nothing_of_the_size_of_x_for_a_step(small):
    """What the backward pass keeps grows with eager steps, not with compiled ones."""
    config = override(small, standardise=False, channels=64, hidden=64)
    eager, compiled = ([kept(config, steps, Kernels(compiled=way)) for steps in (1, 3)] for way in (False, True))
    assert eager[1] > eager[0]
    assert 0 < compiled[0] == compiled[1] < eager[1]


def kept(config, steps, kernels):
    """How many tensors of the size of x the backward pass of a head keeps."""
    bank = Bank([new_head(override(config, steps=steps).head).train()])
    x, seen = torch.rand(B, 14, 14, config.head.channels), set()

    def note(tensor):
        if tensor.numel() == x.numel():
            seen.add(tensor.data_ptr())
        return tensor

    forward, none = forward_of(bank, kernels, B), torch.zeros(1, len(bank.places(B)), 2, dtype=torch.int32)
    noise = none, torch.arange(B, dtype=torch.int32)
    forward(x, None, *noise)  # compiles
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = forward(x, None, *noise)
    assert output.score.requires_grad
    return len(seen)


@COMPILER
def test_compiled_training_in_bfloat16_is_the_same_each_time_and_learns(make_learnable, small, tmp_path):
    collection, config = make_learnable(), override(small, feature_dropout=0.2, epochs=4)
    results = []
    for name in ("a", "b"):
        subsets = split_subsets(collection, 1, 0, allow_missing=False)
        setup = Setup(collection, subsets, 1, kernels=Kernels(BFLOAT16, compiled=True))
        steps = train(setup, config, tmp_path / name)
        results.append([epoch.val_rho for epoch in steps])
    a, b = (load_head(tmp_path / name / LAST).state_dict() for name in ("a", "b"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert results[0] == results[1]
    assert max(results[0]) > 0.8


def test_a_run_is_not_resumed_in_another_precision(make_learnable, small, tmp_path):
    collection = make_learnable()
    setup = Setup(collection, split_subsets(collection, 1, 0, allow_missing=False), 1)
    next(train(setup, small, tmp_path / "run"))
    with pytest.raises(RunError, match="precision: expected float32, found bfloat16"):
        next(train(replace(setup, resume=True, kernels=Kernels(BFLOAT16)), small, tmp_path / "run"))


def test_auto_takes_bfloat16_where_the_device_multiplies_it(monkeypatch):
    for able, wanted in ((True, BFLOAT16), (False, "float32")):
        monkeypatch.setattr("headtrain.compute.kernels.multiplies_bfloat16", lambda _, able=able: able)
        assert choose_precision("auto", "cpu") == wanted
    assert choose_precision("float32", "cpu") == "float32"


@pytest.mark.parametrize(
    ("shown", "able", "compiled"),
    [(PAYS_FROM["cpu"], True, True), (PAYS_FROM["cpu"] - 1, True, False), (PAYS_FROM["cpu"], False, False)],
)
def test_kernels_are_compiled_where_it_pays_and_a_compiler_is_there(monkeypatch, shown, able, compiled):
    monkeypatch.setattr("headtrain.compute.kernels.compiler_works", lambda _: able)
    assert choose_kernels("float32", None, "cpu", shown) == Kernels("float32", compiled)


def test_asking_for_compiled_kernels_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="--compile: expected a compiler for cpu, found none that works"):
        choose_kernels("auto", True, "cpu", 1)
    assert not choose_kernels("auto", None, "cpu", 10**9).compiled


def test_eager_float32_is_what_python_gets_unasked():
    assert Kernels() == EAGER == Kernels("float32", compiled=False)
