"""What differs between ResNet50 networks whose parameters have the same names and shapes.

Wired as the other variant, the same weights load without complaint and give features with a cosine of about 0.79
to the right ones. So the variant belongs to the weights and stands in the collection's spec.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from amnet_common.errors import WeightsError


@dataclass(frozen=True)
class Variant:
    """Describe wiring and input of a ResNet50. Input: RGB in [0, 1], then (x - mean) / std per channel."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride_in_first_conv: bool  # stride 2 of layer2.0 and layer3.0 in the 1x1 conv1 (He et al.) or in the 3x3 conv2
    pool_padding: int
    pool_ceil: bool


TORCHVISION = Variant(
    name="torchvision",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    stride_in_first_conv=False,
    pool_padding=1,
    pool_ceil=False,
)
# He, Zhang, Ren, Sun 2015, the original Caffe model whose 24.7 % top-1 error the paper quotes
MSRA_2015 = Variant(
    name="msra-2015",
    mean=(0.482948, 0.454521, 0.404167),
    std=(1 / 255, 1 / 255, 1 / 255),
    stride_in_first_conv=True,
    pool_padding=0,
    pool_ceil=True,
)
VARIANTS = {variant.name: variant for variant in (TORCHVISION, MSRA_2015)}


def variant_of(metadata: Mapping[str, str], where: str) -> Variant:
    """Return the variant that a safetensors file's metadata names; torchvision's if it names none.

    Raises WeightsError for an unknown variant, and where the file's own mean or std contradict it.
    """
    name = metadata.get("variant", TORCHVISION.name)
    if name not in VARIANTS:
        raise WeightsError(f"{where}: expected a variant among {sorted(VARIANTS)}, found {name!r}")
    variant = VARIANTS[name]
    for key, wanted in (("mean", variant.mean), ("std", variant.std)):
        found = metadata.get(key, json.dumps(wanted))
        if not _same_numbers(found, wanted):
            raise WeightsError(f"{where}: {key} of variant {name}: expected {list(wanted)}, found {found}")
    return variant


def _same_numbers(text: str, wanted: tuple[float, ...]) -> bool:
    try:
        return all(abs(a - b) <= 1e-6 for a, b in zip(wanted, json.loads(text), strict=True))
    except (ValueError, TypeError):  # no JSON, or not as many numbers
        return False
