"""A checkpoint of the authors' published code as a run of this project.

{"model": state dict} in a torch pickle; the head's parameters stand at the top, the trunk's below `core_cnn.`, and
layers beside them that their published code does not use, which are passed over. The number of steps and whether
attention is used do not stand in it: `path_hints` reads them from the folder's name (lamem_ResNet50FC_lstm3_...).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amnet_common.errors import ConfigError, RunError
from amnet_common.making import made_here
from amnet_common.state_dicts import float32, read_state_dict, tensors_sha256, trunk_part
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import BEST, refuse_undefined, save_head
from headtrain.heads.fitting import misfits
from headtrain.heads.head import Head
from headtrain.heads.provenance import Provenance
from headtrain.runs.folder import new_run_folder
from headtrain.settings.configuration import override
from headtrain.settings.presets import RELEASED, RELEASED_MEAN, RELEASED_SCALE

PARALLEL, TRUNK, COUNTER = "module.", "core_cnn.", "num_batches_tracked"
SIZES = {"locations": ("eh1.weight", 0), "channels": ("inconv.weight", 0), "hidden": ("hs1.weight", 0),
         "regress_hidden": ("regnet1.weight", 0)}  # fmt: skip
RESNET50_BLOCKS = 6  # in layer3
MOST_MEAN = 1e6
SCORES = "target_"  # how our buffers of the scores' mean and scale begin


@dataclass(frozen=True)
class Released:
    """Hold a released checkpoint: what stands in it, and how it was trained, which does not."""

    path: Path
    content: Mapping[str, Any]
    steps: int
    attention: bool
    output: str = RELEASED.head.output
    mean: float = RELEASED_MEAN

    @cached_property
    def parts(self) -> Mapping[str, Any]:
        """Return what stands in it beside the trunk, by its name without what torch's DataParallel puts before it."""
        named = {str(name).removeprefix(PARALLEL): value for name, value in self.content.items()}
        return {name: value for name, value in named.items() if not name.startswith(TRUNK)}

    def head(self) -> Head:
        """Make the head, with what it was made from in `.provenance`. Raises RunError that names what does not fit."""
        shapes = sizes(self.parts)
        with torch.device("meta"):  # the shapes in a file may be of any size: no memory before they are found to fit
            config = override(RELEASED, steps=self.steps, attention=self.attention, output=self.output,
                              target_mean=self.mean, **shapes)  # fmt: skip
            head = new_head(config.head)
        wanted = {name: tensor for name, tensor in head.state_dict().items() if is_taken(name)}
        refuse_unfitting(self.path, wanted, self.parts)
        head = head.to_empty(device="cpu")
        head.load_state_dict({name: float32(self.parts[name]) for name in wanted}, strict=False)
        head.target_mean.fill_(self.mean)
        head.target_scale.fill_(RELEASED_SCALE)
        head.get_buffer(f"bn1.{COUNTER}").zero_()  # evaluation mode never asks
        refuse_undefined(self.path, head)
        head.provenance = Provenance(config, trunk_spec(self.content), None, None)
        return head.eval().requires_grad_(False)

    def passed_over(self, head: Head) -> list[str]:
        """List the layers of the file that are no part of `head`, nor of the trunk, in their order."""
        taken = head.state_dict()
        left = [name for name in self.parts if name not in taken and not name.endswith(COUNTER)]
        return [*dict.fromkeys(name.rpartition(".")[0] or name for name in left)]


def read_released(
    path: Path, steps: int, attention: bool, output: str = RELEASED.head.output, mean: float = RELEASED_MEAN
) -> Released:
    """Read a released checkpoint of any version of torch. `mean`: of the scores, which its code adds.

    Raises WeightsError if the file cannot be read with weights_only=True, ConfigError for a mean that is no number.
    """
    if not abs(mean) <= MOST_MEAN:
        raise ConfigError(f"--mean: expected a number between -{MOST_MEAN:g} and {MOST_MEAN:g}, found {mean}")
    content, _ = read_state_dict(path, "CHECKPOINT")
    return Released(path, content, steps, attention, output, mean)


def import_released(
    path: Path, steps: int, attention: bool, output: str = RELEASED.head.output, mean: float = RELEASED_MEAN
) -> Head:
    """Make the head of a released checkpoint. Raises what `read_released` and `Released.head` raise."""
    return read_released(path, steps, attention, output, mean).head()


def is_taken(name: str) -> bool:
    """Tell whether a tensor of our head comes from the file: counters and the statistics of the scores do not."""
    return not name.startswith(SCORES) and not name.endswith(COUNTER)


def sizes(found: Mapping[str, Any]) -> dict[str, int]:
    """Return L, D, H and the width of f_m by their settings' names, those that the checkpoint's shapes tell."""
    return {
        name: found[key].shape[axis]
        for name, (key, axis) in SIZES.items()
        if isinstance(found.get(key), Tensor) and found[key].ndim > axis
    }


def refuse_unfitting(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    """Raise RunError that names missing and misshapen parameters, and those that are no floats, if there are any."""
    lines = misfits(wanted, found, any_float=True)
    if lines:
        more = f", and {len(lines) - 6} more" if len(lines) > 6 else ""
        raise RunError(f"{path}: expected the parameters of the authors' head: {'; '.join(sorted(lines)[:6])}{more}")


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
    new_run_folder(run, {"config": config.as_dict(), "imported_from": str(checkpoint.absolute()),
                         "made": made_here()}, config)  # fmt: skip
    save_head(run / BEST, head, head.provenance)
