"""The trunk that a head was trained on: what it is called, and whether a file of weights holds it, before anything is
extracted.

The extraction lives in another stage, which this one never imports: the file is read and hashed here as there.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amnet_common.collection import Collection
from amnet_common.collection.spec import differences
from amnet_common.errors import CollectionError, RunError
from amnet_common.state_dicts import read_state_dict, tensors_sha256, trunk_part
from headtrain.runs.documents import read_begun
from headtrain.runs.folder import RUN

HASH = "weights_sha256"  # in a spec
USUAL_VARIANT = "torchvision"  # of a file that names none
TOLD = ("msra-2015", "msra-2015-bgr")  # variants that the extraction is told by the head's spec
RESNETS = re.compile(r"(torchvision:)?resnet\d+[-/]layer3")  # the trunks that are found in a file here


def file_differences(weights: Path, spec: Mapping[str, Any]) -> list[str]:
    """Return a line for each of weights and variant in which a file is not the trunk of `spec`, as far as that tells.

    A file without a ResNet's trunk has no lines, nor has any file for another trunk: the extraction refuses what does
    not fit, and says what is missing. Raises WeightsError for a file that cannot be read.
    """
    if not RESNETS.fullmatch(str(spec.get("trunk", "resnet50-layer3"))):
        return []
    state, metadata = read_state_dict(weights)
    trunk = trunk_part(state)
    if not trunk:
        return []
    found = {HASH: tensors_sha256(trunk), "variant": metadata.get("variant", USUAL_VARIANT)}
    if "variant" not in metadata and spec.get("variant") in TOLD:
        found["variant"] = spec["variant"]
    known = {key: spec[key] for key in found if key in spec}
    return differences(known, {key: found[key] for key in known})


def described_trunk(head: Path, spec: Mapping[str, Any]) -> str:
    """Name the trunk of a head by `spec`, and its file where that is known: `resnet50-layer3, variant torchvision,
    weights of sha256 0123456789ab (resnet50.pth)`.
    """
    name = weights_name(head)
    parts = [str(spec.get("trunk", "an unknown trunk")), f"variant {spec.get('variant', 'unknown')}",
             f"weights of sha256 {str(spec.get(HASH, 'unknown'))[:12]}"]  # fmt: skip
    return ", ".join(parts) + (f" ({name})" if name else "")


def weights_name(head: Path) -> str:
    """Return what the weights of a head's trunk were called: by its run, or the collection that it was trained on.

    Empty where neither says.
    """
    run = head if head.is_dir() else head.parent
    if not (run / RUN).exists():
        return ""
    with contextlib.suppress(RunError, CollectionError, OSError):
        begun = read_begun(run)
        if begun.weights or begun.imported_from:
            return begun.weights or Path(begun.imported_from).name
        if begun.features and Path(begun.features).exists():
            return str(Collection(Path(begun.features)).provenance.get("weights") or "")
    return ""
