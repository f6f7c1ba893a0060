"""Files of a run that were damaged or made up: each is read, or refused by an error of ours, and changes nothing."""

import copy
import io
import json
import pickle
import struct
import zipfile
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch
from edits import EDITS, edited
from hypothesis import given, settings
from hypothesis import strategies as st

from amnet_common.errors import AmnetError, RunError, WeightsError
from amnet_common.state_dicts import read_state_dict
from headtrain.evaluation.bootstrap import Interval
from headtrain.evaluation.metrics import METRICS, Metrics
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import load_head, save_head
from headtrain.heads.provenance import Provenance
from headtrain.runs.documents import Result, read_begun, read_result, write_result
from headtrain.runs.folder import RESULT, RUN, STATE
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET
from headtrain.training.averaging import RunningAverage
from headtrain.training.resume import load_state, save_state

TINY = override(AMNET, locations=6, channels=5, hidden=4, regress_hidden=3, standardise=False)
SPEC = {"trunk": "resnet50-layer3", "seed": 0, "view_plan": {"name": "t", "augs": 1}}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**30, -1, 2**63, 1e308, float("inf"), float("nan")]),
    st.floats(), st.text(max_size=5), st.just([]), st.just({}), st.lists(st.integers(), max_size=3),
    st.just([[[1]]]), st.just({"a": {"b": []}}),
)  # fmt: skip


def places(value, path=()):
    """The keys that lead to every value in dictionaries and lists in each other."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, item in items for found in places(item, (*path, key))]


def changed(value, path, new):
    """A copy of `value` with another value at that place; `places` gives places."""
    value = copy.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return value


def read_or_refused(read, *words):
    refusal = ""
    try:
        return read(*words)
    except AmnetError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 3000
    return None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with run.json and metrics.json."""
    folder = tmp_path_factory.mktemp("run")
    epoch = Epoch(3, 0.1, 190.0, 0.5, 0.02, 1.5, best=True)
    write_result(Result(
        folder, 2, Metrics(**dict.fromkeys(METRICS, 0.25), n=8), Interval(0.1, 0.4), epoch, replace(epoch, epoch=4),
        6, 9.5, "amnet", "val_2", images={"train": 3}, features="f.h5", fingerprint="ab", val_rho=0.5, views=(0, 1),
        heads=("a",),
    ))  # fmt: skip
    begun = {"config": TINY.as_dict(), "split": 1, "selected_on": "val_1", "optimistic": False, "fingerprint": "ab",
             "images": "cd", "precision": "float32", "features": "f.h5", "compiled": False}  # fmt: skip
    (folder / RUN).write_text(json.dumps(begun))
    return folder, {RUN: begun, RESULT: json.loads((folder / RESULT).read_text())}


READERS = {RUN: read_begun, RESULT: read_result}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_json_of_a_run_with_an_odd_value_is_read_or_refused(run, tmp_path_factory, name, data):
    _, whole = run
    folder = tmp_path_factory.getbasetemp()
    values = changed(whole[name], data.draw(st.sampled_from(places(whole[name]))), data.draw(ODD))
    (folder / name).write_text(json.dumps(values))
    read_or_refused(READERS[name], folder)


@pytest.mark.parametrize("name", READERS)
@given(edits=EDITS)
def test_json_of_a_run_with_other_bytes_is_read_or_refused(run, tmp_path_factory, name, edits):
    whole, folder = run[0], tmp_path_factory.getbasetemp()
    (folder / name).write_bytes(edited((whole / name).read_bytes(), edits))
    read_or_refused(READERS[name], folder)


@pytest.mark.parametrize(("name", "change", "message"), [
    (RESULT, {"split": "2"}, "split that is a text, not a whole number"),
    (RESULT, {"split": -1}, "split -1"),
    (RESULT, {"test": [1]}, "test that is a list, not an object"),
    (RESULT, {"test": {"rho": "0.5"}}, "test.rho that is '0.5'"),
    (RESULT, {"best": {"epoch": "3"}}, "best.epoch that is '3'"),
    (RESULT, {"images": ["a"]}, "images that is a list, not an object"),
    (RESULT, {"views": "01"}, "views that is a text, not a list"),
    (RESULT, {"interval": {"a": 1, "b": 2}}, "interval that is an object, not a list"),
    (RESULT, {"optimistic": "false"}, "optimistic that is a text, not true or false"),
    (RUN, {"compiled": "no"}, "compiled that is a text, not true or false"),
    (RUN, {"precision": 3}, "precision that is a whole number, not a text"),
    (RUN, {"config": []}, "configuration: expected preset, head and training of this version"),
    (RUN, {"config": TINY.as_dict() | {"preset": ["amnet"]}}, r"preset: expected a name, found \['amnet'\]"),
    (RUN, {"config": TINY.as_dict() | {"head": {"steps": "3"}}}, "--steps: expected a value of type int, found 3"),
])  # fmt: skip
def test_a_value_of_another_type_is_named(run, tmp_path, name, change, message):
    (tmp_path / name).write_text(json.dumps(run[1][name] | change))
    with pytest.raises(RunError, match=message):
        READERS[name](tmp_path)


@pytest.mark.parametrize("text", [
    '{"test": {"rho": 1e999}}', '{"split": 1' + "0" * 400 + "}", '{"split": 18446744073709551616}',
    '{"a": ' * 500 + "1" + "}" * 500, "[" * 100_000, '{"test": {"rho": NaN}}', "[]", "",
])  # fmt: skip
@pytest.mark.parametrize("name", READERS)
def test_json_with_numbers_or_depths_that_it_cannot_have_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match=f"{name}: expected a file of a run, found none that can be read"):
        READERS[name](tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint, its tensors and its metadata as values."""
    path, head = tmp_path_factory.mktemp("checkpoint") / "best.safetensors", new_head(TINY.head)
    save_head(path, head, Provenance(TINY, SPEC, 1, 2))
    return path, head.state_dict(), {"config": TINY.as_dict(), "spec": SPEC, "split": 1, "epoch": 2}


def stored(path, tensors, values):
    metadata = {"format": "amnet-head 1"} | {key: json.dumps(value) for key, value in values.items()}
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


@given(data=st.data())
def test_a_checkpoint_with_odd_metadata_is_read_or_refused(checkpoint, tmp_path_factory, data):
    _, tensors, values = checkpoint
    values = changed(values, data.draw(st.sampled_from(places(values))), data.draw(ODD))
    head = read_or_refused(load_head, stored(tmp_path_factory.getbasetemp() / "c.safetensors", tensors, values))
    assert head is None or repr(head)


@given(edits=EDITS)
def test_a_checkpoint_with_other_bytes_is_read_or_refused(checkpoint, tmp_path_factory, edits):
    path = tmp_path_factory.getbasetemp() / "b.safetensors"
    path.write_bytes(edited(checkpoint[0].read_bytes(), edits))
    read_or_refused(load_head, path)


@pytest.mark.parametrize(("change", "message"), [
    ({"spec": None}, "not an object but NoneType"), ({"spec": {"view_plan": []}}, r"spec: view_plan that is \[\]"),
    ({"split": "1"}, "split that is a text, not a whole number"), ({"epoch": -1}, "epoch -1"),
    ({"epoch": 1.5}, "epoch that is a number, not a whole number"),
    ({"config": TINY.as_dict() | {"head": TINY.as_dict()["head"] | {"hidden": 10**9}}}, "--hidden: expected 65536 or"),
])  # fmt: skip
def test_metadata_of_another_type_are_named(checkpoint, tmp_path, change, message):
    _, tensors, values = checkpoint
    with pytest.raises(RunError, match=message):
        load_head(stored(tmp_path / "c.safetensors", tensors, values | change))


@pytest.mark.parametrize("text", ['{"a": 1e999}', "[" * 100_000, "{" * 5, '{"a":' * 300 + "1" + "}" * 300])
def test_metadata_that_are_no_json_are_refused(checkpoint, tmp_path, text):
    metadata = Provenance(TINY, SPEC, 1, 2).metadata() | {"spec": text}
    safetensors.torch.save_file(checkpoint[1], tmp_path / "c.safetensors", metadata)
    with pytest.raises(RunError, match="expected a head's checkpoint, found a file that is none"):
        load_head(tmp_path / "c.safetensors")


def test_a_header_larger_than_its_file_is_refused(tmp_path):
    (tmp_path / "c.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}" * 50)
    with pytest.raises(RunError, match="a header of 4611686018427387904 bytes where at most 100 can be"):
        load_head(tmp_path / "c.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_tensors_of_another_dtype_are_refused(checkpoint, tmp_path, dtype):
    _, tensors, values = checkpoint
    tensors = tensors | {"init_h.bias": tensors["init_h.bias"].to(dtype)}
    with pytest.raises(RunError, match=f"init_h.bias: expected torch.float32, found {dtype}"):
        load_head(stored(tmp_path / "c.safetensors", tensors, values))


def trained():
    """Head, optimiser and average after two steps."""
    torch.manual_seed(0)
    head = new_head(TINY.head)
    optimiser = torch.optim.Adam(head.parameters(), 1e-3, fused=True)
    average = RunningAverage(head, 0.9)
    for _ in range(2):
        head(torch.rand(2, 6, 5)).score.square().sum().backward()
        optimiser.step()
        average.keep()
    return head, optimiser, average


def tensors_of(head, optimiser, average):
    moments = [value for one in optimiser.state.values() for value in one.values()]
    return [*head.state_dict().values(), *average.head.state_dict().values(), *moments]


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A folder with state.pt, and what it holds."""
    folder, (head, optimiser, average) = tmp_path_factory.mktemp("state"), trained()
    save_state(folder, head, optimiser, average, dict(average.head.state_dict()), [Epoch(1, 0.1, best=True), Epoch(2)])
    return folder, torch.load(folder / STATE, weights_only=True)


def refused_whole(folder):
    """Read a state into fresh objects; if it is refused, they are as they were. Its error."""
    found = trained()
    before, refusal = [tensor.clone() for tensor in tensors_of(*found)], ""
    try:
        load_state(folder, *found)
        found[1].step()  # within the bounds of its tensors
    except RunError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert not refusal or all(torch.equal(a, b) for a, b in zip(before, tensors_of(*found), strict=True))
    return refusal


def test_a_state_is_given_back_whole(state):
    found = trained()
    epochs, best = load_state(state[0], *found)
    assert [asdict(epoch)["epoch"] for epoch in epochs] == [1, 2]
    assert best.keys() == found[0].state_dict().keys()
    assert found[2].updates == 2


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("value", [torch.zeros(1), torch.zeros(1).expand(5, 9), torch.zeros(2).half(), 3, None])
def test_a_state_with_a_moment_that_does_not_fit_is_refused_before_any_is_loaded(state, tmp_path, name, value):
    wanted = state[1]["optimiser"]["state"][0][name]
    torch.save(changed(state[1], ("optimiser", "state", 0, name), value), tmp_path / STATE)
    assert f"optimiser, parameter 0: {name}: expected {tuple(wanted.shape)}, found " in refused_whole(tmp_path)


@given(data=st.data())
@settings(max_examples=100)
def test_a_state_with_an_odd_value_is_loaded_or_refused_whole(state, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    odd = st.one_of(ODD, st.sampled_from([torch.zeros(0), torch.zeros(3), torch.zeros(6, 5).half(), torch.tensor(1)]))
    values = changed(state[1], data.draw(st.sampled_from(places(state[1]))), data.draw(odd))
    torch.save(values, folder / STATE, _use_new_zipfile_serialization=data.draw(st.booleans()))
    refused_whole(folder)


@given(edits=EDITS, zipped=st.booleans())
@settings(max_examples=100)
def test_a_state_with_other_bytes_is_loaded_or_refused_whole(state, tmp_path_factory, edits, zipped):
    folder, whole = tmp_path_factory.getbasetemp(), io.BytesIO()
    torch.save(state[1], whole, _use_new_zipfile_serialization=zipped)
    (folder / STATE).write_bytes(edited(whole.getvalue(), edits))
    refused_whole(folder)


def test_a_flipped_bit_in_a_zipped_tensor_is_found(state, tmp_path):
    content = bytearray((state[0] / STATE).read_bytes())
    value = state[1]["head"]["lstm.weight_hh"].numpy().tobytes()
    content[content.index(value) + 5] ^= 1
    (tmp_path / STATE).write_bytes(content)
    assert "has another checksum" in refused_whole(tmp_path)


def bomb(path, kind):
    """A small file that says of itself that it is large."""
    if kind in ("stride 0", "stride 0, legacy"):
        torch.save({"a": torch.zeros(1).expand(10**11)}, path, _use_new_zipfile_serialization=kind == "stride 0")
    elif kind == "one memory, many names":
        torch.save({str(i): torch.zeros(300_000) for i in range(1)} | dict.fromkeys(map(str, range(99)),
                   torch.zeros(300_000)), path)  # fmt: skip
    else:
        torch.save({"a": torch.zeros(10**6)}, path.with_name("plain"))
        with zipfile.ZipFile(path.with_name("plain")) as whole, zipfile.ZipFile(path, "w") as made:
            for name in whole.namelist():
                content = whole.read(name)[: 100 if kind == "short" and name.endswith("data/0") else None]
                made.writestr(name, content, zipfile.ZIP_DEFLATED if kind == "compressed" else None)


@pytest.mark.parametrize("kind", ["stride 0", "stride 0, legacy", "one memory, many names", "compressed", "short"])
def test_a_pickle_that_takes_far_more_memory_than_its_size_is_refused(tmp_path, kind):
    bomb(tmp_path / "w.pth", kind)
    with pytest.raises(WeightsError, match=r"expected a state dict that torch reads with weights_only=True: \S"):
        read_state_dict(tmp_path / "w.pth")
    bomb(tmp_path / STATE, kind)
    assert "expected the state of this run, found one that cannot be read" in refused_whole(tmp_path)


def test_a_pickle_that_holds_itself_is_refused(tmp_path):
    own = []
    own.append(own)
    with open(tmp_path / STATE, "wb") as file:
        torch.save({"head": own}, file, _use_new_zipfile_serialization=False)
    assert "no head" in refused_whole(tmp_path)


def test_a_state_that_would_run_code_is_refused(tmp_path):
    (tmp_path / STATE).write_bytes(pickle.dumps(zipfile.ZipFile, protocol=2))
    assert "found one that cannot be read" in refused_whole(tmp_path)
