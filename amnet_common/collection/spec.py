"""What a view of a collection means. Two collections may be mixed only if their specs are equal.

How the numbers were computed in detail (the kernel path) and which images they are of (the image list) stand beside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from amnet_common.errors import SpecError

KINDS = {"trunk": str, "variant": str, "weights_sha256": str, "pixels": str, "view_plan": Mapping, "seed": int,
         "precision": str, "dtype": str}  # fmt: skip
SCALES = "scales_sha256"


@dataclass(frozen=True)
class Spec:
    """Hold everything that decides the feature bytes, up to the last bits that kernels differ in.

    Raises SpecError for a field of the wrong type, and for scales with another dtype than uint8 or uint8 without them.
    """

    trunk: str  # network and layer: resnet50-layer3
    variant: str  # wiring and input normalisation that belong to the weights
    weights_sha256: str  # of the trunk's tensors, BatchNorm statistics among them
    pixels: str  # how a file becomes 8-bit RGB
    view_plan: Mapping[str, Any]
    seed: int  # of the augmented crops
    precision: str  # of the trunk's arithmetic: float32, bfloat16, float16
    dtype: str  # of the stored features: float16, or uint8 codes
    scales_sha256: str | None = None  # of the scales (D,) float32 that turn uint8 codes into features

    def __post_init__(self) -> None:
        wrong = [name for name, kind in KINDS.items() if not isinstance(getattr(self, name), kind)]
        if wrong:
            raise SpecError(f"spec: expected {wrong[0]} to be of type {KINDS[wrong[0]].__name__}, "
                            f"found {getattr(self, wrong[0])!r}")  # fmt: skip
        if (self.dtype == "uint8") != (self.scales_sha256 is not None):
            raise SpecError(f"spec: expected scales with dtype uint8 and with no other, found {self.scales_sha256!r} "
                            f"with {self.dtype}")  # fmt: skip

    def to_json(self) -> str:
        """Return the spec as canonical JSON: sorted keys, no spaces, and no field that has no value."""
        return canonical_json({key: value for key, value in asdict(self).items() if value is not None})

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain JSON values, without a field that has none."""
        return dict(json.loads(self.to_json()))

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec's canonical JSON, as hex digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> "Spec":
        """Read a spec from JSON, the inverse of `to_json`.

        Raises SpecError if that is no JSON object, or fields are missing, unknown or of the wrong type.
        """
        try:
            values = json.loads(text)
            wanted, found = {field.name for field in fields(cls)}, {SCALES, *values}
        except (ValueError, TypeError) as error:
            raise SpecError(f"spec: expected a JSON object, found {text[:80]!r}") from error
        if wanted != found:
            raise SpecError(f"spec: expected the fields {sorted(wanted)}, found {sorted(values)}")
        return cls(**values)


def canonical_json(value: object) -> str:
    """Serialise a value as JSON with sorted keys and no spaces, so that equal values give equal bytes.

    Raises ValueError for NaN and infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def image_list_sha256(ids: Sequence[bytes]) -> str:
    """Compute the SHA-256 over the ids in the order of rows, each with its length before it, as hex digits."""
    digest = hashlib.sha256()
    for id_ in ids:
        digest.update(len(id_).to_bytes(4, "little") + id_)
    return digest.hexdigest()


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line for each field that differs, nested ones by their path: `seed: expected 0, found 1`."""
    lines = []
    for key in sorted(wanted.keys() | found.keys()):
        a, b = wanted.get(key), found.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: expected {a}, found {b}")
    return lines


def spec_differences(wanted: Spec, found: Spec) -> list[str]:
    """Return the `differences` of two specs, compared as their canonical JSON, in which tuples are lists."""
    return differences(wanted.as_dict(), found.as_dict())
