"""State dicts of files that others wrote, read without running code, and the ResNet trunk in them.

Imports torch, which takes seconds: nothing that `--help` needs may import this module at its top.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amnet_common.errors import WeightsError
from amnet_common.tensor_files import read_pickle, read_safetensors

PICKLES = (".pth", ".pt", ".pkl", ".tar", ".ckpt", ".bin", "")  # model_best.pth.tar is a pickle as well
WRAPPERS = ("model", "state_dict")  # dictionaries that training scripts put around a state dict
# `core_cnn.core_cnn.`: the authors' release, which wraps torchvision's network twice
NETWORKS = ("", "core_cnn.core_cnn.", "core_cnn.", "trunk.", "backbone.", "model.")
PREFIXES = tuple(parallel + network for parallel in ("", "module.") for network in NETWORKS)
FIRST_BIAS, FIRST_MEAN = "conv1.bias", "bn1.running_mean"
TRUNK_NAME = re.compile(r"(conv1|bn1|layer[123]\.\d+\.(conv\d|bn\d|downsample\.\d))\.(?!num_batches_tracked$)\w+")


def read_state_dict(path: Path, option: str = "--weights") -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Read tensors by name, and the file's metadata (empty for pickles), of a .safetensors file or a pickle.

    Pickles, legacy or zip, are read with `weights_only=True`; {"model": ...} and {"state_dict": ...} are unwrapped.
    Raises WeightsError, which names `option` where no file is there.
    """
    if not os.path.isfile(path):
        raise WeightsError(f"{option}: expected a file, found {str(path)!r}, which is none")
    return _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pickle(path), {})


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Compute one SHA-256, as hex digits, of names, shapes and values as float32.

    It is the same for every file format and order.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def trunk_part(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a ResNet's tensors up to layer3 by torchvision's names, float32 on the CPU, with BatchNorm's statistics.

    They are those of every block that is there, so a ResNet101 has 23 in its layer3; empty if there is no trunk.
    """
    prefix = trunk_prefix(state)
    state = without_first_bias(state, prefix)
    names = trunk_names(state, prefix)
    if "conv1.weight" not in names:  # the authors' head alone has a bn1 too
        return {}
    return {name: float32(value) for name in names if isinstance(value := state[prefix + name], Tensor)}


def without_first_bias(state: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """Fold the bias of the first convolution, which Caffe's network has, into the mean that its BatchNorm takes off."""
    bias, mean = state.get(prefix + FIRST_BIAS), state.get(prefix + FIRST_MEAN)
    if not (isinstance(bias, Tensor) and isinstance(mean, Tensor) and bias.shape == mean.shape):
        return state
    rest = {key: value for key, value in state.items() if key != prefix + FIRST_BIAS}
    return rest | {prefix + FIRST_MEAN: mean - bias}


def trunk_prefix(state: Mapping[str, Any]) -> str:
    """Return the known prefix under which the most tensors of a ResNet up to layer3 stand."""
    return max(PREFIXES, key=lambda prefix: len(trunk_names(state, prefix)))


def trunk_names(state: Mapping[str, Any], prefix: str) -> list[str]:
    """Return the names below `prefix` that a ResNet's trunk may have, without it and without step counters."""
    below = (key.removeprefix(prefix) for key in state if isinstance(key, str) and key.startswith(prefix))
    return [name for name in below if TRUNK_NAME.fullmatch(name)]


def float32(tensor: Tensor) -> Tensor:
    """Return a tensor as float32 on the CPU, without a gradient."""
    return tensor.detach().to("cpu", torch.float32)


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    try:
        return read_safetensors(path)
    except ValueError as error:
        raise WeightsError(f"{path}: expected a safetensors file, found one that cannot be read ({error})") from error


def _read_pickle(path: Path) -> Mapping[str, Any]:
    if path.suffix not in PICKLES:
        raise WeightsError(f"{path}: expected a file ending in .safetensors, {', '.join(filter(None, PICKLES))}")
    try:
        content = read_pickle(path)
    except ValueError as error:
        raise WeightsError(f"{path}: expected a state dict that torch reads with weights_only=True: {error}") from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: expected a state dict, found a {type(content).__name__}")
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in content.items()}
