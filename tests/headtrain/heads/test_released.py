"""The authors' released head, against what their published network computes, and its import."""

import pickle
import sys

import numpy as np
import pytest
import torch

from amnet_common.errors import AmnetError, ConfigError, RunError
from headtrain.heads.checkpoint import load_head
from headtrain.runs.importing import import_released, read_released, save_imported


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
    with pytest.raises(RunError, match=r"e1.weight is missing; eh3.weight: expected \(1, 5\), found \(2, 5\)$"):
        import_released(saved(tmp_path / "a.pkl", state), 3, attention=True)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("hs1.weight", torch.zeros(0, 5), "--hidden: expected 1 or more, found 0"),
    ("hs1.weight", torch.zeros(1, 1).expand(60_000, 3), r"eh1.weight: expected \(6, 60000\), found \(6, 4\)"),
    ("e1.weight", torch.zeros(5, 5, dtype=torch.int64), r"e1.weight: expected torch.float32, found torch.int64"),
    ("e1.weight", torch.zeros(5, 5, dtype=torch.complex64), "expected torch.float32, found torch.complex64"),
    ("e1.weight", "text", r"e1.weight: expected \(5, 5\), found a str"),
    ("e1.weight", torch.full((5, 5), torch.nan), "expected finite parameters, found NaN or infinity in e1.weight"),
    ("e1.weight", torch.full((5, 5), 1e300, dtype=torch.float64), "expected finite parameters, found NaN or infinity"),
    ("e1.weight", torch.eye(5).to_sparse(), "expected a state dict that torch reads"),
])  # fmt: skip
def test_parameters_that_cannot_be_are_refused_before_a_head_is_made(small_state, tmp_path, name, value, message):
    with pytest.raises(AmnetError, match=message):
        import_released(saved(tmp_path / "a.pkl", small_state | {name: value}), 3, attention=True)


UNUSED = ["e11", "eh2", "eh12", "eh30", "eh31", "eh11", "eh22", "regnet2"]  # of a published file, by a traceback


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
@pytest.mark.parametrize("name", ["weights_40.pkl", "model_best.pth.tar", "weights"])
@pytest.mark.parametrize("zipped", [True, False])
def test_layers_that_the_published_code_does_not_use_are_passed_over(
    small_state, tmp_path, prefix, wrapper, name, zipped
):
    unused = {f"{layer}.{part}": torch.zeros(2) for layer in UNUSED for part in ("weight", "bias")}
    state = {prefix + key: value for key, value in (small_state | unused | {"core_cnn.fc.bias": torch.ones(1)}).items()}
    torch.save({wrapper: state, "epoch": 3}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    released, alone = read_released(tmp_path / name, 3, True), saved(tmp_path / "a.pkl", small_state)
    assert released.passed_over(released.head()) == UNUSED
    x = torch.rand(2, 6, 5)
    assert torch.equal(released.head()(x).score, import_released(alone, 3, True)(x).score)


def old_pickle(path, state):
    """As torch 0.2 wrote it on a GPU: `_rebuild_tensor`, a storage on cuda:0, and no view of it."""
    arrays = {name: value.contiguous().numpy() for name, value in state.items()}

    class Storage:
        def __init__(self, key):
            self.key = key

    class Tensor:
        def __init__(self, key):
            self.key = key

        def __reduce__(self):
            array = arrays[self.key]
            strides = tuple(step // 4 for step in array.strides)
            return torch._utils._rebuild_tensor, (Storage(self.key), 0, array.shape, strides)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                kind = torch.cuda.FloatStorage
                return ("storage", kind, value.key, "cuda:0", arrays[value.key].size, None)
            return None

    with open(path, "wb") as file:
        info = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
        for value in (0x1950A86A20F9469CFC6C, 1001, info):
            pickle.dump(value, file, protocol=2)
        Pickler(file, protocol=2).dump({"model": {name: Tensor(name) for name in arrays}})
        pickle.dump([*arrays], file, protocol=2)
        for array in arrays.values():
            file.write(array.size.to_bytes(8, "little") + array.tobytes())
    return path


def test_a_checkpoint_of_torch_0_2_made_on_a_gpu_is_read_without_one(small_state, tmp_path):
    old = import_released(old_pickle(tmp_path / "old.pkl", small_state), 3, True)
    new = import_released(saved(tmp_path / "new.pkl", small_state), 3, True)
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())


@pytest.mark.parametrize("mean", [0.538, -2.0])
def test_the_mean_of_the_scores_is_what_is_said(small_state, tmp_path, mean):
    path, x = saved(tmp_path / "a.pkl", small_state), torch.rand(2, 6, 5)
    head = import_released(path, 3, True, mean=mean)
    np.testing.assert_allclose(head.predict(x).score - mean, import_released(path, 3, True).predict(x).score - 0.754,
                               atol=1e-6)  # fmt: skip
    assert head.provenance.config.training.target_mean == mean


@pytest.mark.parametrize("mean", [float("nan"), float("inf"), -1e9])
def test_a_mean_that_is_none_is_refused(small_state, tmp_path, mean):
    with pytest.raises(ConfigError, match=f"--mean: expected a number between -1e.06 and 1e.06, found {mean}"):
        import_released(saved(tmp_path / "a.pkl", small_state), 3, True, mean=mean)


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
