"""torchvision's networks by their own names: `torchvision:NETWORK/LAYER`, or NETWORK-LAYER."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from amnet_common.errors import ConfigError, WeightsError
from extract.makers import TrunkName
from extract.nodes import Node, chosen, nodes_of, up_to
from extract.trunk_description import TrunkDescription

RESIDUAL = 0.3  # of a branch in an untrained ResNet: without it a hundred layers leave the range of float16
MOST_NAMED = 12


def describe(name: TrunkName) -> TrunkDescription:
    """Describe a trunk: input as its first published weights want it, the node that its layer means.

    Raises ConfigError for another network, and for a layer without a grid.
    """
    where = f"--trunk torchvision:{name.network}"
    if name.network not in known():
        raise ConfigError(f"{where}: expected a network of torchvision, found none of that name; amnet-extract "
                          "--list-trunks lists them")  # fmt: skip
    published = with_one_input([*models.get_model_weights(name.network)])
    usual = published[0].transforms()
    (crop,), (resize,) = usual.crop_size, usual.resize_size
    size = name.size or crop
    left_out = 1 if is_vit(name.network) else 0
    found = nodes(where, name.network, size, left_out)
    node, grid = chosen(found, name.layer, size) or (None, None)
    if node is None or grid is None:
        layers = [layer for layer, one in found.items() if one.grid]
        raise ConfigError(f"{where}/{name.layer}: expected a layer with a grid of locations, found none; such are "
                          f"{', '.join(layers[-MOST_NAMED:])}")  # fmt: skip
    return TrunkDescription(
        name=f"torchvision:{name.network}/{node}" + (f"@{size}" if size != crop else ""),
        maker="torchvision", network=name.network, node=node, grid=(grid.rows, grid.columns), channels=grid.channels,
        size=size, short_side=round(resize * size / crop), interpolation=usual.interpolation.value,
        mean=tuple(usual.mean), std=tuple(usual.std), tokens_left_out=left_out,
        channels_last=grid.channels_last, published=tuple(map(source_of, published)),
        state=f"torchvision's {name.network} up to {node}",
    )  # fmt: skip


def network(trunk: TrunkDescription) -> nn.Module:
    """Make the network up to the trunk's node, with fresh weights from torch's generator."""
    whole = made(trunk.network, trunk.size)
    for module in whole.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.constant_(last.weight, RESIDUAL)
    return up_to(whole, trunk.node)


def whole(trunk: TrunkDescription) -> set[str]:
    """Return the names of all tensors of the whole network."""
    with torch.device("meta"):
        return {*made(trunk.network, trunk.size).state_dict()}


def adapted(trunk: TrunkDescription, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:  # noqa: ARG001
    """Return a file's tensors as they are: torchvision changes none."""
    return state


def download(trunk: TrunkDescription, source: str) -> Mapping[str, Tensor]:
    """Load the weights that torchvision publishes under that name. Raises WeightsError."""
    found = {source_of(one): one for one in models.get_model_weights(trunk.network)}[source]
    try:
        return found.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"--weights {source}: expected torchvision's file {found.url}, found no way to get it "
                           f"({error}); pass --weights FILE or set AMNET_WEIGHTS=FILE") from error  # fmt: skip


def at_hand() -> Iterator[str]:
    """Yield torchvision's networks."""
    yield from (f"torchvision:{name}" for name in known())


def known() -> list[str]:
    """List the networks that classify images, and so end in no task of their own."""
    return models.list_models(module=models)


def source_of(weights: Any) -> str:  # noqa: ANN401 - a member of one of torchvision's enumerations
    """Return the name that --weights gives published weights: imagenet1k-v1."""
    return str(weights.name).lower().replace("_", "-")


def with_one_input(published: Sequence[Any]) -> list[Any]:
    """Return those weights whose input is that of the first: others would be given pixels of another scale or size."""
    inputs = [(one.transforms().crop_size, one.transforms().mean, one.transforms().std) for one in published]
    return [one for one, given in zip(published, inputs, strict=True) if given == inputs[0]]


def is_vit(name: str) -> bool:
    """Tell whether a network is a vision transformer, whose class token stands first and whose size is fixed."""
    return name.startswith("vit_")


def made(name: str, size: int) -> nn.Module:
    """Make a network for images of `size` pixels, without pretrained weights."""
    options: dict[str, Any] = {"image_size": size} if is_vit(name) else {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, "aux_logits": True, "transform_input": True}  # as its published weights
    return models.get_model(name, weights=None, **options)


def nodes(where: str, name: str, size: int, left_out: int) -> dict[str, Node]:
    """Return a network's nodes. Raises ConfigError where it does not take images of that size."""
    try:
        return nodes_of(lambda: made(name, size), size, left_out)
    except Exception as error:  # a network raises whatever it meets
        reason = str(error).strip().partition("\n")[0][:200]
        raise ConfigError(
            f"{where}: expected a network that takes {size} pixels and can be traced, found {reason}"
        ) from error
