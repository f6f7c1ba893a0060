"""timm's networks by their own names: `timm:NETWORK`, what it gives before it pools, or `timm:NETWORK/LAYER`.

timm is an extra. Input size, short side, interpolation, mean and std are those of its data config; `@SIZE` is another
input size, for which it resizes the embeddings of positions.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from amnet_common.errors import ConfigError, ExtraError, WeightsError
from extract.makers import TrunkName
from extract.nodes import BATCH, Grid, chosen, grid_of, nodes_of, on_meta, up_to
from extract.trunk_description import TrunkDescription

PRETRAINED = "pretrained"  # timm's own, by its hub
MOST_NAMED = 12


def library() -> ModuleType:
    """Import timm. Raises ExtraError where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise ExtraError(
            "--trunk timm:...: expected timm, found it not installed; pip install 'amnet[timm]'"
        ) from error
    return timm


def describe(name: TrunkName) -> TrunkDescription:
    """Describe a trunk by timm's data config. Raises ConfigError for another network, ExtraError without timm."""
    timm, where = library(), f"--trunk timm:{name.network}"
    if not timm.is_model(name.network.partition(".")[0]):
        raise ConfigError(f"{where}: expected a network of timm {timm.__version__}, found none of that name; "
                          "python -c 'import timm; print(*timm.list_models())' lists them")  # fmt: skip
    try:
        found = on_meta(lambda: about(name))
    except Exception as error:  # a network raises whatever it meets
        reason = str(error).strip().partition("\n")[0][:200]
        raise ConfigError(f"{where}: expected a network with a grid that takes such images, found {reason}") from error
    config, size, left_out, node, grid = found
    if grid is None:
        raise ConfigError(f"{where}{'/' if name.layer else ''}{name.layer}: expected a layer with a grid of locations, "
                          f"found none{node}")  # fmt: skip
    usual = int(config["input_size"][-1])
    at = f"/{node}" if node else ""
    return TrunkDescription(
        name=f"timm:{name.network}{at}" + (f"@{size}" if size != usual else ""),
        maker="timm", network=name.network, node=node, grid=(grid.rows, grid.columns), channels=grid.channels,
        size=size, short_side=int(size / config["crop_pct"]), interpolation=interpolation_of(config),
        mean=tuple(config["mean"]), std=tuple(config["std"]), tokens_left_out=left_out,
        channels_last=grid.channels_last, published=(PRETRAINED,),
        state=f"timm's {name.network}" + (f" up to {node}" if node else ""),
        versions=(("timm", timm.__version__),),
    )  # fmt: skip


def about(name: TrunkName) -> tuple[Mapping[str, Any], int, int, str, Grid | None]:
    """Return data config, input size, tokens left out, node and grid; for a layer without a grid, layers that have one
    in place of the node.
    """
    model = made(name.network, name.size)
    config = library().data.resolve_model_data_config(model)
    size = name.size or int(config["input_size"][-1])
    left_out = int(getattr(model, "num_prefix_tokens", 0))
    if not name.layer:
        with torch.no_grad():
            shape = tuple(Features(model)(torch.empty(BATCH, 3, size, size)).shape)
        return config, size, left_out if len(shape) == 3 else 0, "", grid_of(shape, left_out)
    nodes = nodes_of(lambda: made(name.network, name.size), size, left_out)
    node, grid = chosen(nodes, name.layer, size) or ("", None)
    if grid is None:
        layers = [layer for layer, one in nodes.items() if one.grid]
        node = f"; such are {', '.join(layers[-MOST_NAMED:])}"
    return config, size, left_out, node, grid


def interpolation_of(config: Mapping[str, Any]) -> str:
    """Return bilinear or bicubic, as timm's data config has it; bicubic where that is neither."""
    return "bilinear" if config["interpolation"] == "bilinear" else "bicubic"


def network(trunk: TrunkDescription) -> nn.Module:
    """Make the network up to the trunk's node, with fresh weights from torch's generator."""
    model = made(trunk.network, trunk.size)
    return up_to(model, trunk.node) if trunk.node else Features(model)


class Features(nn.Module):
    """Give what a network has before it pools."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor.eval()

    def forward(self, x: Tensor) -> Tensor:
        give: Callable[[Tensor], Tensor] = self.extractor.forward_features  # type: ignore[assignment] # as timm has it
        return give(x)


def whole(trunk: TrunkDescription) -> set[str]:
    """Return the names of all tensors of the whole network, its classifier among them."""
    return on_meta(lambda: {*library().create_model(trunk.network, pretrained=False).state_dict()})


def adapted(trunk: TrunkDescription, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a file's tensors by timm's names, and for the size of the trunk's input, as timm itself loads them."""
    model = made(trunk.network, trunk.size)
    change = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    return dict(change(dict(state), model)) if change else state


def download(trunk: TrunkDescription, source: str) -> Mapping[str, Tensor]:
    """Load timm's own weights. Raises WeightsError."""
    try:
        state = library().create_model(trunk.network, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # its hub raises whatever it meets
        reason = str(error).strip().partition("\n")[0][:200]
        raise WeightsError(f"--weights {source}: expected timm's weights of {trunk.network}, found no way to get them "
                           f"({reason}); pass --weights FILE or set AMNET_WEIGHTS=FILE") from error  # fmt: skip
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def at_hand() -> Iterator[str]:
    """Yield how many networks timm has, and an example; or that it is not installed."""
    try:
        timm = library()
    except ExtraError:
        yield "timm:NETWORK  with pip install 'amnet[timm]'"
        return
    count = len(timm.list_models())
    yield f"timm:NETWORK  any of the {count} of timm {timm.__version__}, such as timm:vit_base_patch14_dinov2@224"


def made(name: str, size: int | None) -> nn.Module:
    """Make a network without a classifier, for images of `size` pixels; None: as timm makes it."""
    create = library().create_model
    if size is not None:
        try:
            return create(name, pretrained=False, num_classes=0, img_size=size)
        except TypeError:  # a network that takes any size
            pass
    return create(name, pretrained=False, num_classes=0)
