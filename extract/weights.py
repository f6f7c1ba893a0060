"""Where the trunk's weights come from, and whether they fit.

A source is a name (imagenet1k-v1, imagenet1k-v2, untrained) or a file (.safetensors, or a torch pickle that is
read with `weights_only=True`, so that it cannot run code).
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights

from amnet_common.errors import WeightsError
from extract.trunk import Trunk
from extract.variants import TORCHVISION, Variant, variant_of
from extract.weight_source import PUBLISHED_NAMES, UNTRAINED, chosen_source

PUBLISHED = dict(zip(PUBLISHED_NAMES, (ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2), strict=True))
PICKLES = (".pth", ".pt", ".pkl")
WRAPPERS = ("model", "state_dict")  # dictionaries that training scripts put around a state dict
PREFIXES = ("", "module.", "core_cnn.", "module.core_cnn.", "trunk.", "backbone.", "model.")
HELP = "pass --weights FILE or set AMNET_WEIGHTS=FILE"


@dataclass(frozen=True)
class Weights:
    """A trunk's state: parameters and BatchNorm buffers by torchvision's names, float32."""

    source: str
    variant: Variant
    state: Mapping[str, Tensor]

    @property
    def sha256(self) -> str:
        """Of names, shapes and values, BatchNorm buffers among them: the same for every file format."""
        digest = hashlib.sha256()
        for name in sorted(self.state):
            tensor = self.state[name].contiguous()
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
        return digest.hexdigest()


def load_weights(source: str | None, seed: int = 0) -> Weights:
    """The weights named by `source`, by $AMNET_WEIGHTS if it is None, or torchvision's default.

    Raises WeightsError if they cannot be found, downloaded or read, or do not fit the trunk.
    """
    source = chosen_source(source)
    if source == UNTRAINED:
        return Weights(source, replace(TORCHVISION, name="torchvision-untrained"), _untrained_state(seed))
    if source in PUBLISHED:
        return Weights(source, TORCHVISION, fitted(_download(source), source))
    path = Path(source)
    state, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return Weights(path.name, variant_of(metadata, where=source), fitted(state, source))


def fitted(state: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """The trunk's part of `state`, under whichever known prefix fits it best, as float32.

    Raises WeightsError that names what is missing or has the wrong shape.
    """
    wanted = {name: tensor.shape for name, tensor in Trunk(TORCHVISION).wanted_state().items()}
    prefix = max(PREFIXES, key=lambda p: sum(p + name in state for name in wanted))
    missing = [prefix + name for name in wanted if prefix + name not in state]
    if missing:
        raise WeightsError(f"{where}: {len(missing)} of {len(wanted)} tensors of ResNet50 up to layer3 are missing: "
                           f"{_some(missing)}")  # fmt: skip
    found = {name: state[prefix + name] for name in wanted}
    unlike = [f"{prefix}{name} (wanted {tuple(shape)}, found {_shape(found[name])})"
              for name, shape in wanted.items() if _shape(found[name]) != tuple(shape)]  # fmt: skip
    if unlike:
        raise WeightsError(f"{where}: {len(unlike)} tensors of the wrong shape: {_some(unlike)}")
    return {name: tensor.detach().to("cpu", torch.float32) for name, tensor in found.items()}


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def _download(name: str) -> Mapping[str, Tensor]:
    try:
        return PUBLISHED[name].get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no place to keep it, or a wrong checksum
        raise WeightsError(f"--weights {name}: wanted torchvision's file {PUBLISHED[name].url}, "
                           f"found no way to get it ({error}); {HELP}") from error  # fmt: skip


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return safetensors.torch.load_file(path), metadata
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: wanted a safetensors file, found one that cannot be read ({error})") from error


def _read_pickle(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    if path.suffix not in PICKLES:
        raise WeightsError(f"{path}: wanted a file ending in .safetensors, {', '.join(PICKLES)}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd pickle protocols: the error says enough
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises whatever it meets on strange bytes, IndexError too
        reason = str(error).split("\n")[0] or type(error).__name__
        raise WeightsError(f"{path}: wanted a state dict that torch reads with weights_only=True: {reason}") from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: wanted a state dict, found a {type(content).__name__}")
    return content, {}


def _untrained_state(seed: int) -> dict[str, Tensor]:
    """He-initialised convolutions and residual branches scaled down, so that activations neither die nor explode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)  # torch takes no larger ones
        trunk = Trunk(TORCHVISION)
    state = trunk.wanted_state()
    for name, tensor in state.items():
        if name.endswith("bn3.weight"):
            tensor.fill_(0.3)
    return dict(state)
