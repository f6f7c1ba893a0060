"""Which weights are meant, and how a collection remembers them, known before torch is loaded."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amnet_common.errors import WeightsError

PUBLISHED_NAMES = ("imagenet1k-v1", "imagenet1k-v2")  # of the usual trunk
UNTRAINED = "untrained"
VARIANT_NAMES = ("torchvision", "msra-2015", "msra-2015-bgr")  # of ResNet50: extract.variants


def chosen_source(source: str | None, published: Sequence[str] = PUBLISHED_NAMES) -> str:
    """Return what --weights names, or $AMNET_WEIGHTS, or the first of `published` if neither does: imagenet1k-v1.

    Raises WeightsError if it is neither a known name nor a file.
    """
    source = source or os.environ.get("AMNET_WEIGHTS") or published[0]
    if source != UNTRAINED and source not in published and not os.path.isfile(source):
        raise WeightsError(f"--weights: expected {', '.join(published)} or a file, found {source!r}, "
                           "which is neither")  # fmt: skip
    return source


@dataclass(frozen=True)
class Expected:
    """Hold which weights are expected: their SHA-256, and how people call them; both empty: any."""

    sha256: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Expected":
        """Parse a hash, with or without a name behind it, as sha256sum prints them. Raises WeightsError."""
        digest, _, name = text.strip().partition(" ")
        if text and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise WeightsError("--expect-weights: expected 64 hex digits, as amnet-cache info prints them, found "
                               f"{text!r}")  # fmt: skip
        return cls(digest.lower(), name.strip())

    def refuse_other(self, sha256: str, source: str) -> None:
        """Raise WeightsError if weights are not those that are expected."""
        if self.sha256 and sha256 != self.sha256:
            raise WeightsError(f"--weights {source}: expected weights of sha256 {self.sha256}, found {sha256}")

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Add to a WeightsError which weights are expected, if that is known."""
        try:
            yield
        except WeightsError as error:
            if self.sha256:
                error.add_note(f"wanted: {self.name or f'weights of sha256 {self.sha256}'}")
            raise


def remembered(source: str) -> Mapping[str, str]:
    """Return what a collection keeps of `source` in its provenance: its name, and of a file the SHA-256."""
    if source == UNTRAINED or source in PUBLISHED_NAMES or not os.path.isfile(source):
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
