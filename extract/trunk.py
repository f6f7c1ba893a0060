"""The frozen ResNet50 up to layer 43 (conv4_6, torchvision's layer3): (B, 3, 224, 224) -> (B, 14, 14, 1024).

layer4 and the classifier are neither built nor run. Source: He et al. 2015; AMNet, section 3.1.
"""

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import Bottleneck, conv1x1

from extract.pixel_constants import PixelConstants
from extract.variants import Variant


class Trunk(nn.Module):
    """Compute features with ResNet50 without its end, wired as `variant` says, with torchvision's parameter names.

    forward: uint8 RGB (B, 224, 224, 3) -> features (B, 14, 14, 1024), non-negative, in the parameters' dtype.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=variant.pool_padding, ceil_mode=variant.pool_ceil)
        in_first = variant.stride_in_first_conv
        self.layer1 = _layer(64, planes=64, blocks=3, stride=1, stride_in_first_conv=in_first)
        self.layer2 = _layer(256, planes=128, blocks=4, stride=2, stride_in_first_conv=in_first)
        self.layer3 = _layer(512, planes=256, blocks=6, stride=2, stride_in_first_conv=in_first)
        self.variant = variant
        self.pixels = PixelConstants(variant.mean, variant.std, scale=255)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.eval().requires_grad_(False)

    def wanted_state(self) -> Mapping[str, Tensor]:
        """Return every tensor that decides the features: parameters and BatchNorm statistics, without step counters."""
        return {name: t for name, t in self.state_dict().items() if not name.endswith("num_batches_tracked")}

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise pixels as the variant says: uint8 (B, 224, 224, 3) in 0..255 -> (B, 3, 224, 224).

        (x / 255 - mean) / std per channel, channels last in memory, in the parameters' dtype.
        """
        if self.variant.bgr:
            pixels = pixels.flip(-1)
        x = pixels.permute(0, 3, 1, 2).float()  # (B, 3, 224, 224), a view that is channels last already
        return ((x - self.pixels.mean) / self.pixels.std).to(self.conv1.weight.dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels)  # (B, 3, 224, 224)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, 56, 56)
        x = self.layer1(x)  # (B, 256, 56, 56)
        x = self.layer2(x)  # (B, 512, 28, 28)
        x = self.layer3(x)  # (B, 1024, 14, 14)
        return x.permute(0, 2, 3, 1)  # (B, 14, 14, 1024), contiguous when channels last


def _layer(channels: int, planes: int, blocks: int, stride: int, stride_in_first_conv: bool) -> nn.Sequential:
    width = planes * Bottleneck.expansion
    downsample = nn.Sequential(conv1x1(channels, width, stride), nn.BatchNorm2d(width))
    first = Bottleneck(channels, planes, stride, downsample)
    if stride_in_first_conv:
        first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
    return nn.Sequential(first, *(Bottleneck(width, planes) for _ in range(1, blocks)))


def build_trunk(variant: Variant, state: Mapping[str, Tensor]) -> Trunk:
    """Build the float32 trunk with these weights, as written: the reference for every faster path."""
    trunk = Trunk(variant)
    trunk.load_state_dict(dict(state), strict=False)  # only num_batches_tracked, which eval mode never reads, may lack
    return trunk


def fold_batchnorm(trunk: Trunk) -> Trunk:
    """Fold every BatchNorm into the convolution before it, in place; equal up to float32 rounding."""
    for module in list(trunk.modules()):
        names = list(module._modules)
        for conv, norm in pairwise(names) if isinstance(module, nn.Sequential) else _conv_norm_names(module):
            pair = getattr(module, conv), getattr(module, norm)
            if isinstance(pair[0], nn.Conv2d) and isinstance(pair[1], nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(*pair))
                setattr(module, norm, nn.Identity())
    return trunk


def _conv_norm_names(module: nn.Module) -> list[tuple[str, str]]:
    return [(f"conv{i}", f"bn{i}") for i in (1, 2, 3) if hasattr(module, f"conv{i}")]


class InOwnPrecision(nn.Module):
    """Run layers in the precision of their weights, whatever comes, and answer in another."""

    def __init__(self, layers: nn.Module, answer: torch.dtype) -> None:
        super().__init__()
        self.layers, self.answer = layers, answer

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.to(next(self.layers.parameters()).dtype)).to(self.answer)


def to_bfloat16(trunk: Trunk) -> Trunk:
    """Turn the folded trunk to bfloat16, in place, but for the three convolutions that stand first and stay in float32.

    bfloat16 has eight bits, and the first block amplifies what is rounded within and before it: its BatchNorms have
    channels of little variance. These three are 7 % of the work; docs/performance.md has what each rounding costs.
    """
    first = trunk.layer1[0]
    conv1, conv2, shortcut = (first.get_submodule(name) for name in ("conv1", "conv2", "downsample"))
    exact = deepcopy((trunk.conv1, conv1, conv2))
    trunk.to(torch.bfloat16)
    trunk.conv1, first.conv1 = exact[:2]
    first.conv2 = InOwnPrecision(exact[2], torch.bfloat16)
    first.downsample = InOwnPrecision(shortcut, torch.bfloat16)  # the block's x is float32
    return trunk
