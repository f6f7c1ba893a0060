"""Which nodes of a network have a grid of locations, found on torch's meta device: shapes, and nothing computed.

Letters: B batch, D channels, h and w rows and columns of a grid, N tokens.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

BATCH = 2  # a node without the batch in front has no grid of an image
USUAL_STRIDE = 16  # pixels a location of the usual trunk
NODE = "node"
Found = TypeVar("Found")
POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


class Grid(NamedTuple):
    """Describe the grid of a node: rows, columns, channels, and whether these stand last in it."""

    rows: int
    columns: int
    channels: int
    channels_last: bool


class Node(NamedTuple):
    """Describe a node: its grid, None if it has none, and whether it pools what another gives."""

    grid: Grid | None
    pools: bool = False


def grid_of(shape: tuple[int, ...], left_out: int = 0) -> Grid | None:
    """Return the grid of a node of shape (B, D, h, w), (B, h, w, D), or (B, N, D); None if it has none.

    Views are square, and so are grids: that tells the first two apart. `left_out`: class and register tokens.
    """
    if len(shape) == 4 and shape[0] == BATCH:
        _, a, b, c = shape
        if b == c > 1:
            return Grid(b, c, a, channels_last=False)
        return Grid(a, b, c, channels_last=True) if a == b > 1 else None
    if len(shape) == 3 and shape[0] == BATCH:
        side = math.isqrt(max(0, shape[1] - left_out))
        return Grid(side, side, shape[2], channels_last=True) if side > 1 and side**2 == shape[1] - left_out else None
    return None


def nodes_of(make: Callable[[], nn.Module], size: int, left_out: int = 0) -> dict[str, Node]:
    """Return every node that gives a tensor, in the order in which they run.

    `make`: makes the network; `size`: pixels of its input's side. Raises whatever the network raises that cannot be
    traced, or does not take that size.
    """
    return on_meta(lambda: _nodes_of(make().eval(), size, left_out))


def on_meta(look: Callable[[], Found]) -> Found:
    """Return what `look` finds, on the meta device; or on the CPU, of a network that asks for values as it is made."""
    try:
        with torch.device("meta"), torch.no_grad():
            return look()
    except (RuntimeError, NotImplementedError):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return look()


def _nodes_of(network: nn.Module, size: int, left_out: int) -> dict[str, Node]:
    train, eval_ = get_graph_node_names(network, suppress_diff_warning=True)
    whole = create_feature_extractor(
        network, train_return_nodes=train, eval_return_nodes=eval_, suppress_diff_warning=True
    ).eval()
    found: Mapping[str, object] = whole(torch.empty(BATCH, 3, size, size))
    modules = dict(network.named_modules())
    return {name: Node(grid_of(tuple(value.shape), left_out), isinstance(modules.get(name), POOLING))
            for name, value in found.items() if isinstance(value, Tensor)}  # fmt: skip


def chosen(found: Mapping[str, Node], layer: str, size: int) -> tuple[str, Grid] | None:
    """Choose the node that `layer` means, with its grid; None if it has none.

    A node is itself; a part of the network is its last node, or where that pools the one before. Without a layer it is
    the part, as near the top as may be, that ends with a grid of a sixteenth of the input, as the usual trunk's, or as
    near to that as any: the last of several.
    """
    if layer in found:
        grid = found[layer].grid
        return (layer, grid) if grid else None
    ends = {part: node for part, node in _ends(found).items() if found[node].grid}
    if layer:
        return _end_of(found, layer)
    sizes = [grid.rows for node in ends.values() if (grid := found[node].grid)]
    nearest = min(sizes, key=lambda rows: abs(math.log(rows * USUAL_STRIDE / size)), default=0)
    fitting = [part for part, node in ends.items() if (grid := found[node].grid) and grid.rows == nearest]
    if not fitting:
        return None
    top = min(part.count(".") for part in fitting)
    part = [part for part in fitting if part.count(".") == top][-1]
    grid = found[ends[part]].grid
    return (part, grid) if grid else None


def _end_of(found: Mapping[str, Node], layer: str) -> tuple[str, Grid] | None:
    """The last node of a part, and by its own name one before it if that pools."""
    inside = [name for name in found if name.startswith(f"{layer}.")]
    node, name = (inside[-1], layer) if inside else ("", "")
    if len(inside) > 1 and found[node].pools:
        node = name = inside[-2]
    grid = found[node].grid if node else None
    return (name, grid) if grid else None


def _ends(found: Mapping[str, Node]) -> dict[str, str]:
    """The last node of each part of a network, by the part's name, in the order of these nodes."""
    ends: dict[str, str] = {}
    for node in found:
        words = node.split(".")
        for count in range(1, len(words) + 1):
            part = ".".join(words[:count])
            ends.pop(part, None)
            ends[part] = node
    return ends


def up_to(network: nn.Module, node: str) -> nn.Module:
    """Return the network up to a node, without what comes behind it; its parameters keep their names."""
    return Output(create_feature_extractor(network.eval(), {node: NODE}, suppress_diff_warning=True))


class Output(nn.Module):
    """Give the one tensor of a feature extractor."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, x: Tensor) -> Tensor:
        found: Mapping[str, Tensor] = self.extractor(x)
        return found[NODE]
