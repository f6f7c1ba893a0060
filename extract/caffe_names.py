"""Caffe's names of ResNet50's tensors, as converters keep them, by torchvision's names.

`res4b_branch2a.weight` is a convolution, `bn4b_branch2a.running_mean` and `running_var` its statistics,
`scale4b_branch2a.weight` and `bias` what BatchNorm multiplies and adds. The fourth stage is torchvision's layer3.
"""

import re
from collections.abc import Mapping
from typing import Any

LAYER = re.compile(r"(?P<kind>res|bn|scale)(?P<stage>[2-5])(?P<block>[a-z])(?P<more>\d*)_branch(?P<branch>1|2[abc])")
FIRST = {"conv1": "conv1", "bn_conv1": "bn1", "scale_conv1": "bn1"}
SIGN = "res2a_branch2a.weight"


def is_caffes(state: Mapping[str, Any]) -> bool:
    """Tell whether a file's tensors have Caffe's names."""
    return SIGN in state


def by_torchvisions_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename Caffe's tensors; those of other names stay as they are."""
    return {_renamed(str(key)): value for key, value in state.items()}


def _renamed(key: str) -> str:
    layer, _, tensor = key.rpartition(".")
    if layer in FIRST:
        return f"{FIRST[layer]}.{tensor}"
    found = LAYER.fullmatch(layer)
    if not found:
        return key
    block = int(found["more"] or 0) if found["block"] == "b" and found["more"] else ord(found["block"]) - ord("a")
    part = _part(found["branch"], found["kind"] == "res")
    return f"layer{int(found['stage']) - 1}.{block}.{part}.{tensor}"


def _part(branch: str, convolution: bool) -> str:
    if branch == "1":
        return "downsample.0" if convolution else "downsample.1"
    number = "abc".index(branch[1]) + 1
    return f"conv{number}" if convolution else f"bn{number}"
