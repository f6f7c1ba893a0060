"""What a trunk is to the rest of the extraction: its name, what it takes in, what it gives; known without its weights.

The usual trunk, ResNet50 up to layer3, is described here; others by their maker (`extract.makers`).
"""

from dataclasses import dataclass
from typing import Any

USUAL = "resnet50-layer3"
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrunkDescription:
    """Describe a trunk: a network of some maker up to a node of it that has a grid of locations."""

    name: str = USUAL  # as the spec has it: it alone leads to the others of these
    maker: str = "torchvision"
    network: str = "resnet50"
    node: str = "layer3"  # empty: what the network gives before it pools
    grid: tuple[int, int] = (14, 14)
    channels: int = 1024
    size: int = 224  # pixels of the input's side
    short_side: int = 256  # pixels: the evaluation view is the centre of an image whose short side has so many
    interpolation: str = "bilinear"  # of the views: bilinear or bicubic
    mean: tuple[float, ...] = ()  # of the input, RGB in [0, 1]; of the usual trunk they belong to the weights' variant
    std: tuple[float, ...] = ()
    tokens_left_out: int = 0  # class and register tokens, which stand before the grid's
    channels_last: bool = False  # whether the node has (B, h, w, D), or (B, D, h, w) as most
    precisions: tuple[str, ...] = PRECISIONS  # that it can be computed in, the usual one first
    published: tuple[str, ...] = ("imagenet1k-v1", "imagenet1k-v2")  # names of weights that its maker publishes
    state: str = "ResNet50 up to layer3"  # whose state dict its weights are, in messages
    versions: tuple[tuple[str, str], ...] = ()  # of libraries beside torch and torchvision, for the kernel path

    @property
    def usual(self) -> bool:
        """Tell whether it is the trunk that was measured: folded and compiled, and true in half precision."""
        return self.name == USUAL

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """Return rows, columns and channels of a view."""
        return (*self.grid, self.channels)

    def spec_fields(self) -> dict[str, Any]:
        """Return what the spec says of it beside its name; nothing of the usual trunk, whose files stay as they are."""
        if self.usual:
            return {}
        given = {"size": self.size, "mean": list(self.mean), "std": list(self.std)}
        return {"view_shape": self.view_shape, "trunk_input": given, "tokens_left_out": self.tokens_left_out or None}


USUAL_TRUNK = TrunkDescription()
