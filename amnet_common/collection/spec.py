"""What a view of a collection means. Two collections may be mixed only if their specs are equal.

How the numbers were computed in detail (the kernel path) and which images they are of (the image list) stand beside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from amnet_common.errors import SpecError

KINDS = {"trunk": str, "variant": str, "weights_sha256": str, "pixels": str, "view_plan": Mapping, "seed": int,
         "precision": str, "dtype": str}  # fmt: skip
DEFAULT_VIEW_SHAPE = (14, 14, 1024)  # rows and columns of locations, channels: of resnet50-layer3, whose spec says none
MOST_LOCATIONS = MOST_CHANNELS = 65_536  # far above any use
MOST_VALUES = 2**24  # of a view: 33 MB of float16


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
    view_shape: tuple[int, ...] | None = None  # (rows, columns, channels) of a view; None: DEFAULT_VIEW_SHAPE
    trunk_input: Mapping[str, Any] | None = None  # size in pixels, mean and std; None: those of the variant
    tokens_left_out: int | None = None  # class and register tokens beside the grid's

    def __post_init__(self) -> None:
        wrong = [name for name, kind in KINDS.items() if not isinstance(getattr(self, name), kind)]
        if wrong:
            raise SpecError(f"spec: expected {wrong[0]} to be of type {KINDS[wrong[0]].__name__}, "
                            f"found {getattr(self, wrong[0])!r}")  # fmt: skip
        if (self.dtype == "uint8") != (self.scales_sha256 is not None):
            raise SpecError(f"spec: expected scales with dtype uint8 and with no other, found {self.scales_sha256!r} "
                            f"with {self.dtype}")  # fmt: skip
        if isinstance(self.view_shape, list):  # as JSON has it
            object.__setattr__(self, "view_shape", tuple(self.view_shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of a view: rows and columns of its grid, channels."""
        return self.view_shape or DEFAULT_VIEW_SHAPE

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

        Raises SpecError if that is no JSON object, or fields are missing, unknown, of the wrong type or out of bounds.
        """
        optional = {field.name for field in fields(cls) if field.default is not MISSING}
        try:
            values = json.loads(text)
            wanted, found = {field.name for field in fields(cls)}, {*optional, *values}
        except (ValueError, TypeError) as error:
            raise SpecError(f"spec: expected a JSON object, found {text[:80]!r}") from error
        if wanted != found:
            raise SpecError(f"spec: expected the fields {sorted(wanted)}, found {sorted(values)}")
        refuse_unlikely(values)
        return cls(**values)


def refuse_unlikely(values: Mapping[str, Any]) -> None:
    """Raise SpecError for fields of another trunk than the default that cannot be: a stranger may have written them."""
    shape, tokens = values.get("view_shape"), values.get("tokens_left_out")
    if shape is not None and not is_view_shape(shape):
        raise SpecError(f"spec: expected view_shape to be rows, columns and channels of at most {MOST_LOCATIONS} "
                        f"locations and {MOST_VALUES} values, found {str(shape)[:80]}")  # fmt: skip
    if values.get("trunk_input") is not None and not isinstance(values["trunk_input"], Mapping):
        raise SpecError(f"spec: expected trunk_input to be an object, found {str(values['trunk_input'])[:80]}")
    if tokens is not None and (type(tokens) is not int or not 1 <= tokens <= MOST_LOCATIONS):
        raise SpecError(f"spec: expected tokens_left_out to be a number from 1, found {str(tokens)[:80]}")


def is_view_shape(shape: object) -> bool:
    """Tell whether something is rows, columns and channels of a view, within bounds."""
    if not isinstance(shape, list | tuple) or len(shape) != 3 or any(type(n) is not int or n < 1 for n in shape):
        return False
    rows, columns, channels = shape
    return rows * columns <= MOST_LOCATIONS and channels <= MOST_CHANNELS and rows * columns * channels <= MOST_VALUES


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
