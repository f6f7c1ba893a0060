"""What differs between ResNet50 networks whose parameters have the same names and shapes.

Wired as the other variant, the same weights load without complaint and give features with a cosine of about 0.79
to the right ones. So the variant belongs to the weights and stands in the collection's spec.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

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
    bgr: bool = False  # whether the network takes blue first; mean and std are in its order


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
# the same as Caffe's own files have it: OpenCV's order of colours
MSRA_2015_BGR = replace(MSRA_2015, name="msra-2015-bgr", mean=MSRA_2015.mean[::-1], bgr=True)
KNOWN = {**VARIANTS, MSRA_2015_BGR.name: MSRA_2015_BGR}
RAW_FROM = 300  # variance of the first convolution's outputs over its squared weights: some 10 of pixels that were
# normalised, thousands of pixels from 0 to 255, as Caffe's networks take them


def variant_of(metadata: Mapping[str, str], where: str, given: str | None = None) -> Variant:
    """Return the variant that a safetensors file's metadata names; `given` if it names none, or else torchvision's.

    Raises WeightsError for an unknown variant, for another one than `given`, and where the file's own mean or std
    contradict it.
    """
    name = metadata.get("variant", given or TORCHVISION.name)
    if name not in KNOWN:
        raise WeightsError(f"{where}: expected a variant among {sorted(VARIANTS)}, found {name!r}")
    if given and name != given:
        raise WeightsError(f"--variant {given}: expected the variant that {where} names, found that it is {name}")
    variant = KNOWN[name]
    for key, wanted in (("mean", variant.mean), ("std", variant.std)):
        found = metadata.get(key, json.dumps(wanted))
        if not _same_numbers(found, wanted):
            raise WeightsError(f"{where}: {key} of variant {name}: expected {list(wanted)}, found {found}")
    return variant


def takes_raw_pixels(state: Mapping[str, Tensor]) -> bool:
    """Tell whether a trunk was trained on pixels from 0 to 255, by its first convolution and what BatchNorm saw of it.

    `state`: by torchvision's names. Such networks come from Caffe, with the wiring of He et al.; what their file does
    not tell is the order of colours.
    """
    weight, variance = state["conv1.weight"], state["bn1.running_var"]
    ratio = variance / weight.square().sum((1, 2, 3)).clamp_min(1e-12)  # (64,)
    return bool(ratio.median() > RAW_FROM)


def refuse_unsaid(state: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError for a trunk of raw pixels whose variant nobody has said."""
    if takes_raw_pixels(state):
        raise WeightsError(f"{where}: its first convolution takes pixels from 0 to 255, as Caffe's networks do: "
                           "expected to be told its colours, found nothing that says them; "
                           f"--variant {MSRA_2015_BGR.name} for blue first, as Caffe's own, {MSRA_2015.name} for red "
                           "first")  # fmt: skip


def _same_numbers(text: str, wanted: tuple[float, ...]) -> bool:
    try:
        return all(abs(a - b) <= 1e-6 for a, b in zip(wanted, json.loads(text), strict=True))
    except (ValueError, TypeError):  # no JSON, or not as many numbers
        return False
