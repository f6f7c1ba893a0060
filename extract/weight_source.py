"""Which weights are meant, and how a collection remembers them, known before torch is loaded."""

import hashlib
import os
from collections.abc import Mapping

from amnet_common.errors import WeightsError

DEFAULT = "imagenet1k-v1"
PUBLISHED_NAMES = ("imagenet1k-v1", "imagenet1k-v2")
UNTRAINED = "untrained"


def chosen_source(source: str | None) -> str:
    """Return what --weights names, or $AMNET_WEIGHTS, or imagenet1k-v1 if neither does.

    Raises WeightsError if it is neither a known name nor a file.
    """
    source = source or os.environ.get("AMNET_WEIGHTS") or DEFAULT
    if source != UNTRAINED and source not in PUBLISHED_NAMES and not os.path.isfile(source):
        raise WeightsError(f"--weights: expected {', '.join(PUBLISHED_NAMES)} or a file, found {source!r}, "
                           "which is neither")  # fmt: skip
    return source


def remembered(source: str) -> Mapping[str, str]:
    """Return what a collection keeps of `source` in its provenance: its name, and of a file the SHA-256."""
    if source == UNTRAINED or source in PUBLISHED_NAMES:
        return {"weights": source}
    with open(source, "rb") as file:
        return {"weights": os.path.basename(source), "weights_file": hashlib.file_digest(file, "sha256").hexdigest()}


def is_remembered(source: str, provenance: Mapping[str, object]) -> bool:
    """Tell whether a collection with this provenance was begun with the very `source`.

    False for a file of other bytes, which may still hold the same tensors: then the tensors have to be compared.
    """
    mine = remembered(source)
    key = "weights_file" if "weights_file" in mine else "weights"
    return provenance.get(key) == mine[key]
