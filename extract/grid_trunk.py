"""A trunk of any maker as it is written: pixels in, a grid of locations out. Nothing is folded or compiled."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from amnet_common.errors import WeightsError
from extract.makers import maker_of
from extract.pixel_constants import PixelConstants
from extract.trunk_description import TrunkDescription


class GridTrunk(nn.Module):
    """Compute features with a network up to its node.

    forward: uint8 RGB (B, size, size, 3) -> features (B, h, w, D) in float32, of any sign.
    """

    def __init__(self, trunk: TrunkDescription, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.trunk, self.network, self.dtype = trunk, network.to(dtype), dtype
        self.pixels = PixelConstants(trunk.mean, trunk.std)
        self.eval().requires_grad_(False)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 pixels (B, size, size, 3) as torchvision's ToTensor and Normalize: (B, 3, size, size)."""
        x = pixels.permute(0, 3, 1, 2).float().contiguous() / 255  # (B, 3, size, size)
        return (x - self.pixels.mean) / self.pixels.std

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.network(self.normalise(pixels).to(self.dtype)).float()
        if x.ndim == 3:  # (B, N, D): class and register tokens stand first
            x = x[:, self.trunk.tokens_left_out :]
            return x.reshape(len(x), *self.trunk.grid, -1)  # (B, h, w, D)
        return x if self.trunk.channels_last else x.permute(0, 2, 3, 1)  # (B, h, w, D)


def build_grid_trunk(
    trunk: TrunkDescription, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> GridTrunk:
    """Build the trunk of a description with these weights, its network in `dtype`. Raises WeightsError if they do not
    fit.
    """
    with torch.random.fork_rng(devices=[]):
        network = maker_of(trunk.maker).network(trunk)
    wanted = wanted_state(network)
    if wanted.keys() != state.keys():
        raise WeightsError(f"--trunk {trunk.name}: expected {len(wanted)} tensors of {trunk.state}, found {len(state)}")
    names = {plain(name): name for name in network.state_dict()}
    network.load_state_dict({names[name]: tensor for name, tensor in state.items()}, strict=False)
    return GridTrunk(trunk, network, dtype)


WRAPPER = "extractor."


def wanted_state(network: nn.Module) -> dict[str, Tensor]:
    """Return every tensor that decides the features, by the names that the network's maker gives."""
    return {plain(name): t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def plain(name: str) -> str:
    """Return a tensor's name as the maker of the network calls it."""
    return name.removeprefix(WRAPPER)
