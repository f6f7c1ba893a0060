"""Where the trunk's weights come from, and whether they fit.

A source is a name (imagenet1k-v1, imagenet1k-v2, untrained) or a file (.safetensors, or a torch pickle that is
read with `weights_only=True`, so that it cannot run code).
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights

from amnet_common.errors import WeightsError
from amnet_common.state_dicts import float32, read_state_dict, tensors_sha256, trunk_prefix, without_first_bias
from extract.caffe_names import by_torchvisions_names, is_caffes
from extract.trunk import Trunk
from extract.trunk_description import USUAL_TRUNK, TrunkDescription
from extract.variants import MSRA_2015_BGR, TORCHVISION, Variant, refuse_unsaid, variant_of
from extract.weight_source import PUBLISHED_NAMES, UNTRAINED, Expected, chosen_source

PUBLISHED = dict(zip(PUBLISHED_NAMES, (ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2), strict=True))
STAGES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")  # of which no other tensor may stand in a file
ANY = Expected()
HELP = "pass --weights FILE or set AMNET_WEIGHTS=FILE"


@dataclass(frozen=True)
class Weights:
    """Hold a trunk's state: parameters and BatchNorm buffers by its maker's names, float32."""

    source: str
    variant: Variant
    state: Mapping[str, Tensor]
    trunk: TrunkDescription = USUAL_TRUNK
    hashed: Mapping[str, Tensor] | None = None  # the tensors as their file has them, where some were resized since

    @property
    def sha256(self) -> str:
        """Return the SHA-256, as hex digits, of names, shapes and values, BatchNorm buffers among them.

        It is the same for every file format.
        """
        return tensors_sha256(self.hashed or self.state)


def load_weights(source: str | None, seed: int = 0, expected: Expected = ANY, variant: str | None = None) -> Weights:
    """Load the weights named by `source`, by $AMNET_WEIGHTS if it is None, or else imagenet1k-v1.

    `seed`: of untrained weights. `variant`: of a file that names none. Raises WeightsError if they cannot be found,
    downloaded or read, do not fit the trunk, are others than `expected`, or of a variant that nobody has said.
    """
    with expected.named():
        weights = _load(source, seed, variant)
        expected.refuse_other(weights.sha256, weights.source)
    return weights


def _load(source: str | None, seed: int, variant: str | None) -> Weights:
    source = chosen_source(source)
    if variant and not os.path.isfile(source):
        raise WeightsError(f"--variant {variant}: expected a file as --weights, found {source}, which is torchvision's")
    if source == UNTRAINED:
        return Weights(source, replace(TORCHVISION, name="torchvision-untrained"), _untrained_state(seed))
    if source in PUBLISHED:
        return Weights(source, TORCHVISION, fitted(_download(source), source))
    path = Path(source)
    state, metadata = read_state_dict(path)
    if is_caffes(state):
        state, variant = by_torchvisions_names(state), variant or MSRA_2015_BGR.name
    found = variant_of(metadata, source, variant)
    weights = Weights(path.name, found, fitted(state, source))
    if not variant and "variant" not in metadata:
        refuse_unsaid(weights.state, source)
    return weights


def fitted(state: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """Return the trunk's part of `state`, under whichever known prefix fits it best, as float32.

    BatchNorm's statistics are the file's own. Raises WeightsError that names what is missing, does not belong to
    ResNet50 (a ResNet101 holds all of its names and more) or has the wrong shape.
    """
    wanted = {name: tensor.shape for name, tensor in Trunk(TORCHVISION).wanted_state().items()}
    prefix = trunk_prefix(state)
    state = without_first_bias(state, prefix)
    missing = [prefix + name for name in wanted if prefix + name not in state]
    if missing:
        raise WeightsError(f"{where}: {len(missing)} of {len(wanted)} tensors of ResNet50 up to layer3 are missing: "
                           f"{some(missing)}")  # fmt: skip
    _refuse_strangers(state, prefix, wanted, where)
    found = {name: state[prefix + name] for name in wanted}
    unlike = [f"{prefix}{name} (expected {tuple(shape)}, found {shape_of(found[name])})"
              for name, shape in wanted.items() if shape_of(found[name]) != tuple(shape)]  # fmt: skip
    if unlike:
        raise WeightsError(f"{where}: {len(unlike)} tensors of the wrong shape: {some(unlike)}")
    return {name: float32(tensor) for name, tensor in found.items()}


def _refuse_strangers(state: Mapping[str, Any], prefix: str, wanted: Iterable[str], where: str) -> None:
    """WeightsError if another network's tensors stand below `prefix`, in the stages that the trunk has too."""
    below = [str(key).removeprefix(prefix) for key in state if str(key).startswith(prefix)]
    found = [name for name in below if name.startswith(STAGES) and not name.endswith("num_batches_tracked")]
    strangers = sorted(set(found) - set(wanted), key=found.index)
    if not strangers:
        return
    known, there = _blocks(wanted), _blocks(found)
    unlike = [f"{count} blocks in {layer}, found {_per_layer(there)[layer]}"
              for layer, count in _per_layer(known).items() if _per_layer(there)[layer] != count]  # fmt: skip
    named = dict.fromkeys(prefix + (name if _block(name) in known else _block(name) or name) for name in strangers)
    raise WeightsError(f"{where}: expected {' and '.join(unlike) or 'the tensors of ResNet50 alone'}; "
                       f"a ResNet50 does not have {some([*named])}")  # fmt: skip


def _block(name: str) -> str:
    """`layer3.6` of `layer3.6.conv1.weight`; empty for what is in no block."""
    match = re.match(r"layer\d\.\d+", name)
    return match[0] if match else ""


def _blocks(names: Iterable[str]) -> set[str]:
    return {_block(name) for name in names} - {""}


def _per_layer(blocks: set[str]) -> Counter[str]:
    return Counter(block.split(".")[0] for block in sorted(blocks))


def shape_of(value: object) -> tuple[int, ...] | None:
    """Return the shape of a tensor; None of what is none."""
    return tuple(value.shape) if isinstance(value, Tensor) else None


def some(names: list[str], most: int = 4) -> str:
    """Name the first few of what does not fit, and how many more there are."""
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def _download(name: str) -> Mapping[str, Tensor]:
    try:
        return PUBLISHED[name].get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no place to keep it, or a wrong checksum
        raise WeightsError(f"--weights {name}: expected torchvision's file {PUBLISHED[name].url}, "
                           f"found no way to get it ({error}); {HELP}") from error  # fmt: skip


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
