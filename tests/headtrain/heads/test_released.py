"""The authors' released head, against what their published network computes, and its import."""

import sys

import numpy as np
import pytest
import torch

from amnet_common.errors import RunError
from headtrain.heads.checkpoint import load_head
from headtrain.runs.importing import import_released, save_imported


@pytest.fixture
def golden(shared):
    """golden(name) -> the file and the state dict and features that it was computed from."""
    folder = shared / "golden"
    if not (folder / "released_state.py").is_file():
        pytest.skip(f"no golden files: expected {folder}/released_state.py")
    sys.path.insert(0, str(folder))
    import released_state

    sys.path.remove(str(folder))

    def load(name):
        with np.load(folder / f"released_eval_{name}_T3.npz") as file:
            found = dict(file)
        seed = int(found["seed"])
        x = released_state.features(seed, len(found["memorability"]))  # (n, 1024, 14, 14)
        state = {key: torch.from_numpy(value) for key, value in released_state.state(seed).items()}
        return found, state, np.ascontiguousarray(x.transpose(0, 2, 3, 1))

    return load


@pytest.fixture
def small_state():
    """A checkpoint of a small head: 6 places, 5 channels, 4 hidden, 3 in f_m."""
    shapes = {
        "inconv.weight": (5, 5, 1, 1), "inconv.bias": (5,), "bn1.weight": (5,), "bn1.bias": (5,),
        "bn1.running_mean": (5,), "bn1.running_var": (5,), "hs1.weight": (4, 5), "hs1.bias": (4,),
        "hc1.weight": (4, 5), "hc1.bias": (4,), "e1.weight": (5, 5), "eh1.weight": (6, 4), "eh1.bias": (6,),
        "eh3.weight": (1, 5), "rnn.weight_ih_l0": (16, 5), "rnn.weight_hh_l0": (16, 4), "rnn.bias_ih_l0": (16,),
        "rnn.bias_hh_l0": (16,), "regnet1.weight": (3, 4), "regnet1.bias": (3,), "regnet4.weight": (1, 3),
        "regnet4.bias": (1,),
    }  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}


def saved(path, state, **options):
    torch.save({"model": state}, path, **options)
    return path


@pytest.mark.parametrize(("name", "attention"), [("attention", True), ("no_attention", False)])
def test_an_imported_checkpoint_computes_what_the_published_network_computes(golden, tmp_path, name, attention):
    found, state, x = golden(name)
    path = saved(tmp_path / "weights_35.pkl", state, _use_new_zipfile_serialization=False)
    save_imported(tmp_path / "run", import_released(path, 3, attention), path)
    head = load_head(tmp_path / "run")
    output = head.predict(x)
    np.testing.assert_allclose(output.score, found["memorability"], atol=1e-5)
    np.testing.assert_allclose(output.attention, found["attention"], atol=1e-5)
    np.testing.assert_allclose((output.steps - 0.754 / 3) * 6, found["step_outputs"], atol=1e-4)


def naive(p, x, steps, attention):
    """m_t of one image, x (L, D), a place at a time, in NumPy; amnet_model.py in evaluation mode."""

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    a = x @ p["inconv.weight"][:, :, 0, 0].T + p["inconv.bias"]
    a = (a - p["bn1.running_mean"]) / np.sqrt(p["bn1.running_var"] + 1e-5) * p["bn1.weight"] + p["bn1.bias"]
    a = np.maximum(a, 0)
    h, c = (np.tanh(p[f"{name}.weight"] @ a.mean(0) + p[f"{name}.bias"]) for name in ("hs1", "hc1"))
    e, scores = np.maximum(a @ p["e1.weight"].T, 0), []
    for _ in range(max(steps, 1)):
        eh = p["eh1.weight"] @ h + p["eh1.bias"]
        logits = np.array([p["eh3.weight"][0] @ np.maximum(e[i] + eh[i], 0) for i in range(len(x))])
        alpha = np.exp(logits) / np.exp(logits).sum() if attention else np.full(len(x), 1 / len(x))
        z = alpha @ a
        if steps:
            gates = p["rnn.weight_ih_l0"] @ z + p["rnn.bias_ih_l0"] + p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"]
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        read = h if steps else z
        scores.append((p["regnet4.weight"] @ np.maximum(p["regnet1.weight"] @ read + p["regnet1.bias"], 0))[0])
    return np.array(scores) + p["regnet4.bias"]


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_any_number_of_steps_follows_the_published_code(small_state, tmp_path, steps, attention):
    head = import_released(saved(tmp_path / "a.pkl", small_state), steps, attention)
    x = torch.rand(3, 6, 5)
    p = {name: value.double().numpy() for name, value in small_state.items()}
    for image, found in zip(x.double().numpy(), head(x).steps, strict=True):
        np.testing.assert_allclose(found, naive(p, image, steps, attention), atol=1e-5)


def test_without_steps_f_m_reads_what_one_look_sees(small_state, tmp_path):
    square = {"hs1.weight": (5, 5), "hs1.bias": (5,), "hc1.weight": (5, 5), "hc1.bias": (5,), "eh1.weight": (6, 5)}
    lstm = {"weight_ih_l0": (20, 5), "weight_hh_l0": (20, 5), "bias_ih_l0": (20,), "bias_hh_l0": (20,)}  # of H = D = 5
    shapes = square | {"regnet1.weight": (3, 5)} | {f"rnn.{name}": shape for name, shape in lstm.items()}
    draw = torch.Generator().manual_seed(1)
    state = small_state | {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}
    head, x = import_released(saved(tmp_path / "a.pkl", state), 0, attention=True), torch.rand(2, 6, 5)
    p = {name: value.double().numpy() for name, value in state.items()}
    assert head(x).steps.shape == (2, 1)
    for image, found in zip(x.double().numpy(), head(x).steps, strict=True):
        np.testing.assert_allclose(found, naive(p, image, 0, True), atol=1e-5)


def test_last_step_prediction_gives_the_last_step_alone(small_state, tmp_path):
    head, x = import_released(saved(tmp_path / "a.pkl", small_state), 3, True, "last"), torch.rand(2, 6, 5)
    output = head.predict(x)
    np.testing.assert_allclose(output.score, head(x).steps[:, -1] / 2 + 0.754, atol=1e-6)
    assert output.steps[:, :2].abs().max() == 0


def test_what_does_not_fit_is_named(small_state, tmp_path):
    state = {**small_state, "extra": torch.zeros(1), "eh3.weight": torch.zeros(2, 5)}
    del state["e1.weight"]
    with pytest.raises(
        RunError, match=r"e1.weight is missing; eh3.weight: expected \(1, 5\), found \(2, 5\); extra is"
    ):
        import_released(saved(tmp_path / "a.pkl", state), 3, attention=True)


@pytest.mark.parametrize("prefix", ["core_cnn.", "core_cnn.core_cnn."])
def test_the_trunk_of_a_checkpoint_is_known_by_the_hash_that_extraction_gives_it(small_state, tmp_path, prefix):
    from extract.trunk import Trunk
    from extract.variants import TORCHVISION
    from extract.weights import load_weights

    trunk = {prefix + name: value for name, value in Trunk(TORCHVISION).state_dict().items()}
    path = saved(tmp_path / "a.pkl", small_state | trunk)
    spec = import_released(path, 3, attention=True).provenance.spec
    assert spec["weights_sha256"] == load_weights(str(path)).sha256
    assert spec["trunk"] == "resnet50-layer3"


def test_a_head_alone_tells_no_trunk(small_state, tmp_path):
    assert "weights_sha256" not in import_released(saved(tmp_path / "a.pkl", small_state), 3, True).provenance.spec
