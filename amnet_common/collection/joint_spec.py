"""What a view means that is put together from the views of several collections: their specs, in their order."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.spec import Spec, canonical_json

JOINED = "joined"  # in a spec as JSON: those of the collections
POOLED, BY_AREA = "pooled", "area"  # likewise, where grids differ: how they became one


@dataclass(frozen=True)
class JointSpec(Spec):
    """Hold the specs of collections whose channels stand one after the other.

    Its own fields tell people what the parts are; as JSON, and so in its fingerprint, it is the parts in their order.
    """

    parts: tuple[Spec, ...] = ()

    @property
    def pooled(self) -> bool:
        """Tell whether a part's grid is finer than the common one."""
        return any(part.shape[:2] != self.shape[:2] for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the specs of the parts as plain JSON values."""
        said = {JOINED: [part.as_dict() for part in self.parts]}
        return said | ({POOLED: BY_AREA} if self.pooled else {})

    def to_json(self) -> str:
        """Return the specs of the parts as canonical JSON."""
        return canonical_json(self.as_dict())

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 over the fingerprints of the parts in their order, as hex digits."""
        said: dict[str, Any] = {JOINED: [part.fingerprint for part in self.parts]}
        said |= {POOLED: BY_AREA} if self.pooled else {}
        return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def joint_spec(specs: Sequence[Spec], scales: np.ndarray | None, dtype: str) -> JointSpec:
    """Return the spec of views put together from views of `specs`, stored as `dtype` with these scales (D,)."""
    grid = (min(spec.shape[0] for spec in specs), min(spec.shape[1] for spec in specs))
    return JointSpec(
        trunk=_all([spec.trunk for spec in specs]),
        variant=_all([spec.variant for spec in specs]),
        weights_sha256=_all([spec.weights_sha256 for spec in specs]),
        pixels=_all([spec.pixels for spec in specs]),
        view_plan={"name": _all([str(spec.view_plan.get("name", "unknown")) for spec in specs])},
        seed=specs[0].seed,
        precision=_all([spec.precision for spec in specs]),
        dtype=dtype,
        scales_sha256=None if scales is None else scales_sha256(scales),
        view_shape=(*grid, sum(spec.shape[2] for spec in specs)),
        parts=tuple(specs),
    )


def specs_in(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the specs that a spec as JSON values is of: those of its parts, or itself alone."""
    return list(spec[JOINED]) if JOINED in spec else [spec]


def described(spec: Mapping[str, Any]) -> str:
    """Describe a spec as JSON values in a few words: trunk, the beginning of its weights' hash, view plan."""
    trunk = f"{spec.get('trunk', 'unknown')} {str(spec.get('weights_sha256', ''))[:12]}".rstrip()
    return f"{trunk}, views {spec.get('view_plan', {}).get('name', 'unknown')}"


def _all(names: Sequence[str]) -> str:
    """One name where all are the same."""
    return " + ".join(dict.fromkeys(names))
