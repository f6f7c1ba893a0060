"""Weight files: which prefixes and wrappers are known, and what is said of files that do not fit."""

import hashlib
import json
import os
import pickle
import re
import struct

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet101

from amnet_common.errors import WeightsError
from amnet_common.state_dicts import PREFIXES, read_state_dict, tensors_sha256, trunk_part
from extract.variants import MSRA_2015
from extract.weights import PUBLISHED, fitted, load_weights


@pytest.fixture(scope="module")
def state():
    return dict(load_weights("untrained", seed=3).state)


def saved(path, content) -> str:
    torch.save(content, path)
    return str(path)


def renamed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


HEAD = {"inconv.weight": torch.zeros(2), "bn1.weight": torch.ones(1024), "bn1.running_var": torch.ones(1024)}


def released(state, prefix="core_cnn.core_cnn."):
    """As the authors' checkpoints: the head, which has a `bn1` too, and the whole of torchvision's network."""
    end = {"layer4.0.conv1.weight": torch.ones(2), "fc.weight": torch.zeros(9), "bn1.num_batches_tracked": 7}
    head = renamed(HEAD, "module." if prefix.startswith("module.") else "")
    return head | renamed(dict(state) | end, prefix)


def same(found, wanted) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.fixture(scope="module")
def deeper():
    """A ResNet101: its trunk has all names of a ResNet50's, in the same shapes, and 17 blocks more."""
    return dict(resnet101(weights=None).state_dict())


KNOWN = ["", "core_cnn.", "core_cnn.core_cnn.", "trunk."]


@pytest.mark.parametrize("prefix", [*KNOWN, *("module." + prefix for prefix in KNOWN)])
def test_known_prefixes_are_taken_off(state, prefix):
    assert prefix in PREFIXES
    other = {"attention.weight": torch.zeros(3), prefix + "fc.weight": torch.zeros(1000, 2048)}
    content = renamed(state, prefix) | other
    assert same(fitted(content, "w.pth"), state)
    assert same(trunk_part(content), state)


@pytest.mark.parametrize("prefix", ["core_cnn.", "core_cnn.core_cnn.", "module.core_cnn.core_cnn."])
@pytest.mark.parametrize("zipped", [False, True])
def test_released_checkpoint_gives_its_own_trunk_and_batchnorm_statistics(state, tmp_path, prefix, zipped):
    own = state | {"layer2.1.bn2.running_mean": torch.full((128,), 0.25)}
    path = tmp_path / "weights_35.pkl"
    torch.save({"model": released(own, prefix)}, path, _use_new_zipfile_serialization=zipped)
    weights = load_weights(str(path))
    assert same(weights.state, own)
    content, metadata = read_state_dict(path)
    assert metadata == {}
    assert content.keys() == released(own, prefix).keys()
    assert tensors_sha256(trunk_part(content)) == weights.sha256 == tensors_sha256(own)


def test_head_alone_has_no_trunk(tmp_path):
    path = tmp_path / "head.pkl"
    torch.save({"model": HEAD}, path, _use_new_zipfile_serialization=False)
    assert trunk_part(read_state_dict(path, "CHECKPOINT")[0]) == trunk_part({}) == {}
    with pytest.raises(WeightsError, match=f"{path}: 213 of 215 tensors of ResNet50 up to layer3 are missing: conv1"):
        load_weights(str(path))


def test_trunk_part_has_every_block_as_float32_and_no_counters(deeper):
    part = trunk_part(released({name: t.double() for name, t in deeper.items()}))
    assert sorted(part) == sorted(name for name in deeper if not re.search(r"layer4|^fc|num_batches_tracked", name))
    assert {t.dtype for t in part.values()} == {torch.float32}
    assert "layer3.22.bn3.running_var" in part


@pytest.mark.parametrize("prefix", ["", "core_cnn.core_cnn."])
def test_deeper_resnet_is_not_cut_to_a_resnet50(deeper, prefix):
    message = (f"w.pkl: expected 6 blocks in layer3, found 23; a ResNet50 does not have {prefix}layer3.6, "
               f"{prefix}layer3.7, {prefix}layer3.8, {prefix}layer3.9, and 13 more")  # fmt: skip
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        fitted(renamed(deeper, prefix), "w.pkl")


@pytest.mark.parametrize("name", ["conv1.bias", "bn1.alpha", "layer1.0.se.weight", "layer3.5.downsample.0.weight"])
def test_tensor_that_resnet50_does_not_have_is_refused(state, name):
    message = f"w.pth: expected the tensors of ResNet50 alone; a ResNet50 does not have core_cnn.{name}"
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        fitted(renamed(state | {name: torch.zeros(2)}, "core_cnn."), "w.pth")


def test_hash_of_tensors_never_changes():
    """It stands in every collection."""
    state = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(0.5, dtype=torch.float64)}
    raw = b"a ()\n" + struct.pack("<f", 0.5) + b"b (3, 2)\n" + struct.pack("<6f", 0, 3, 1, 4, 2, 5)
    assert tensors_sha256(state) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("option", ["--weights", "--trunk"])
def test_file_that_is_not_there_is_named_with_its_option(tmp_path, option):
    with pytest.raises(WeightsError, match=f"^{option}: expected a file, found '{tmp_path}/w.pkl', which is none$"):
        read_state_dict(tmp_path / "w.pkl", option)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl"])
def test_pickled_state_is_read_with_and_without_its_wrapper(state, tmp_path, wrap, suffix):
    weights = load_weights(saved(tmp_path / f"w{suffix}", wrap(renamed(state, "core_cnn."))))
    assert weights.source == f"w{suffix}"
    assert all(torch.equal(weights.state[name], state[name]) for name in state)


def test_hash_is_the_same_for_every_file_format_and_counts_batchnorm_statistics(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    plain = load_weights(str(tmp_path / "w.safetensors"))
    assert plain.sha256 == load_weights(saved(tmp_path / "w.pth", renamed(state, "module."))).sha256
    other = state | {"layer3.5.bn3.running_var": state["layer3.5.bn3.running_var"] * 2}
    assert load_weights(saved(tmp_path / "o.pth", other)).sha256 != plain.sha256


def test_amnet_weights_is_used_when_nothing_is_said(state, tmp_path, monkeypatch):
    monkeypatch.setenv("AMNET_WEIGHTS", saved(tmp_path / "mine.pth", state))
    assert load_weights(None).source == "mine.pth"


def test_missing_tensors_are_counted_and_named_with_their_prefix(state, tmp_path):
    part = renamed({name: t for name, t in state.items() if not name.startswith("layer2.1.bn")}, "core_cnn.")
    path = saved(tmp_path / "w.pth", part)
    message = (f"{path}: 12 of 215 tensors of ResNet50 up to layer3 are missing: core_cnn.layer2.1.bn1.weight, "
               "core_cnn.layer2.1.bn1.bias, core_cnn.layer2.1.bn1.running_mean, core_cnn.layer2.1.bn1.running_var, "
               "and 8 more")  # fmt: skip
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        load_weights(path)


@pytest.mark.parametrize(("value", "found"), [(torch.zeros(64, 3, 3, 3), "(64, 3, 3, 3)"), ("text", "None")])
def test_mis_shaped_tensors_are_named_with_both_shapes(state, value, found):
    message = f"w.pth: 1 tensors of the wrong shape: conv1.weight (expected (64, 3, 7, 7), found {found})"
    with pytest.raises(WeightsError, match=re.escape(message)):
        fitted(state | {"conv1.weight": value}, "w.pth")


class Unsafe:
    """Makes the folder `marker` when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_pickle_that_runs_code_is_refused_with_one_line(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"model": Unsafe(tmp_path / "was run")}, protocol=2))
    with pytest.raises(
        WeightsError, match=r"expected a state dict that torch reads with weights_only=True: \S"
    ) as raised:
        load_weights(str(path))
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == ["w.pth"]


@pytest.mark.parametrize("content", [b"", b"}RtqR", b"(((.", b"hello", b"PK\3\4" + bytes(100), b"\x80\x02N."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_file_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(f"{path}: expected a s")):
        load_weights(str(path))


def test_pickle_of_something_else_is_named(tmp_path):
    with pytest.raises(WeightsError, match="expected a state dict, found a list"):
        load_weights(saved(tmp_path / "w.pth", [1, 2]))


@pytest.mark.parametrize("source", ["imagenet1k-v3", "/no/such/file.pth", "w" * 300])
def test_unknown_source_is_named_beside_the_known_ones(source):
    message = f"--weights: expected imagenet1k-v1, imagenet1k-v2 or a file, found '{source}', which is neither"
    with pytest.raises(WeightsError, match=message):
        load_weights(source)


def test_file_of_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "w.h5").touch()
    with pytest.raises(WeightsError, match=r"w.h5: expected a file ending in .safetensors, .pth, .pt, .pkl"):
        load_weights(str(tmp_path / "w.h5"))


def test_failed_download_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(type(PUBLISHED["imagenet1k-v2"]), "get_state_dict", offline)
    with pytest.raises(
        WeightsError, match=r"--weights imagenet1k-v2: .*resnet50-\w+.pth, .*\(no network\); pass --weights"
    ):
        load_weights("imagenet1k-v2")


def test_variant_of_a_safetensors_file_is_followed(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors", {"variant": "msra-2015", "mean": json.dumps(MSRA_2015.mean)})
    assert load_weights(str(tmp_path / "w.safetensors")).variant == MSRA_2015


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"variant": "vgg"}, r"expected a variant among \['msra-2015', 'torchvision'\], found 'vgg'"),
        ({"mean": "[0.5, 0.5, 0.5]"}, r"mean of variant torchvision: expected \[0.485, .*, found \[0.5, 0.5, 0.5\]"),
        ({"std": "[0.229, 0.224]"}, r"std of variant torchvision: expected .*, found \[0.229, 0.224\]"),
        ({"std": "grey"}, r"std of variant torchvision: expected .*, found grey"),
    ],
)
def test_metadata_that_contradict_the_variant_are_refused(state, tmp_path, metadata, message):
    save_file(state, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match=message):
        load_weights(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("seed", [0, 7, -1, 2**80])
def test_untrained_weights_are_the_same_for_the_same_seed(seed):
    once = load_weights("untrained", seed)
    assert once.sha256 == load_weights("untrained", seed).sha256 != load_weights("untrained", 5).sha256
    assert once.variant.name == "torchvision-untrained"
