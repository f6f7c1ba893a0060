"""A checkpoint of the authors' published code as a run of this project.

{"model": state dict} in a torch pickle; the head's parameters stand at the top, the trunk's below `core_cnn.`. The
number of steps and whether attention is used do not stand in it: the file's name tells (lamem_ResNet50FC_lstm3_...).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amnet_common.errors import RunError
from amnet_common.state_dicts import float32, read_state_dict, tensors_sha256, trunk_part
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import BEST, save_head
from headtrain.heads.head import Head
from headtrain.heads.provenance import Provenance
from headtrain.runs.folder import new_run_folder
from headtrain.settings.configuration import override
from headtrain.settings.presets import RELEASED, RELEASED_MEAN, RELEASED_SCALE

PARALLEL, TRUNK, COUNTER = "module.", "core_cnn.", "bn1.num_batches_tracked"
SIZES = {"locations": ("eh1.weight", 0), "channels": ("inconv.weight", 0), "hidden": ("hs1.weight", 0),
         "regress_hidden": ("regnet1.weight", 0)}  # fmt: skip
RESNET50_BLOCKS = 6  # in layer3


def import_released(path: Path, steps: int, attention: bool, output: str = RELEASED.head.output) -> Head:
    """Make the head of a released checkpoint, with what it was made from in `.provenance`.

    Raises WeightsError if the file cannot be read with weights_only=True, RunError that names what does not fit.
    """
    content, _ = read_state_dict(path, "CHECKPOINT")
    state = {str(name).removeprefix(PARALLEL): value for name, value in content.items()}
    found = {name: value for name, value in state.items() if not name.startswith(TRUNK)}
    config = override(RELEASED, steps=steps, attention=attention, output=output, **sizes(found))
    head = new_head(config.head)
    head.target_mean.fill_(RELEASED_MEAN)
    head.target_scale.fill_(RELEASED_SCALE)
    wanted = {name: tensor for name, tensor in head.state_dict().items() if not name.startswith("target_")}
    if COUNTER not in found:  # checkpoints of torch before 0.4.1 do not count
        found[COUNTER] = wanted[COUNTER]
    refuse_unfitting(path, wanted, found)
    head.load_state_dict({name: tensor_like(found[name], wanted[name]) for name in wanted}, strict=False)
    head.provenance = Provenance(config, trunk_spec(content), None, None)
    return head.eval().requires_grad_(False)


def sizes(found: Mapping[str, Any]) -> dict[str, int]:
    """Return L, D, H and the width of f_m by their settings' names, those that the checkpoint's shapes tell."""
    return {
        name: found[key].shape[axis]
        for name, (key, axis) in SIZES.items()
        if isinstance(found.get(key), Tensor) and found[key].ndim > axis
    }


def refuse_unfitting(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    """Raise RunError that names missing, unknown and misshapen parameters, if there are any."""
    lines = [f"{name} is missing" for name in wanted if name not in found]
    lines += [f"{name} is unknown" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        shape = tuple(found[name].shape) if isinstance(found[name], Tensor) else None
        if shape != tuple(wanted[name].shape):
            lines.append(f"{name}: expected {tuple(wanted[name].shape)}, found {shape}")
    if lines:
        more = f", and {len(lines) - 6} more" if len(lines) > 6 else ""
        raise RunError(f"{path}: expected the parameters of the authors' head: {'; '.join(sorted(lines)[:6])}{more}")


def tensor_like(value: Tensor, wanted: Tensor) -> Tensor:
    """Return a tensor on the CPU, in the dtype of `wanted`; integers, which are counters, as they are."""
    return float32(value).to(wanted.dtype) if wanted.is_floating_point() else torch.as_tensor(value)


def trunk_spec(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the checkpoint tells of the features its head was trained on, by the names of a spec's fields."""
    known: dict[str, Any] = {"view_plan": {"name": "squash264"}}  # amnet.py
    trunk = trunk_part(content)
    if trunk:
        blocks = len({name.split(".")[1] for name in trunk if name.startswith("layer3.")})
        network = "resnet50-layer3" if blocks == RESNET50_BLOCKS else f"resnet with {blocks} blocks in layer3"
        known |= {"trunk": network, "variant": "torchvision", "weights_sha256": tensors_sha256(trunk)}
    return known


def save_imported(run: Path, head: Head, checkpoint: Path) -> None:
    """Make the run folder of a head that was trained elsewhere. Raises OutputError if it exists."""
    assert head.provenance
    config = head.provenance.config
    new_run_folder(run, {"config": config.as_dict(), "imported_from": str(checkpoint.absolute())}, config)
    save_head(run / BEST, head, head.provenance)
