"""Heads of several collections together: their collections, put in the order that the head was trained in."""

from collections.abc import Mapping, Sequence
from typing import Any

from amnet_common.collection import Collection, JoinedCollection
from amnet_common.collection.joint_spec import JOINED, described
from amnet_common.errors import SpecError
from headtrain.heads.provenance import Provenance
from headtrain.scoring.scores import other_parts


def is_joint(provenance: Provenance | None) -> bool:
    """Tell whether a head was trained on several collections together."""
    return provenance is not None and JOINED in provenance.spec


def wanted_of(provenance: Provenance) -> list[str]:
    """Describe each collection that a head was trained on together with others."""
    return [described(spec) for spec in provenance.spec[JOINED]]


def arranged(name: str, provenance: Provenance, collections: Sequence[Collection]) -> JoinedCollection:
    """Join those of `collections` that the head called `name` was trained on together, in its order: of the same specs
    where they are there, else of the same trunks, cut alike.

    Raises SpecError, which says what is wanted, if one is not there, and as JoinedCollection.
    """
    wanted: list[Mapping[str, Any]] = provenance.spec[JOINED]
    found: dict[int, Collection] = {}
    for fits in (_is_of_spec, _is_of_trunk):
        for k, spec in enumerate(wanted):
            for one in collections:
                if k not in found and one not in found.values() and fits(spec, one):
                    found[k] = one
    lacking = [described(spec) for k, spec in enumerate(wanted) if k not in found]
    if lacking:
        given = ", ".join(str(one.path) for one in collections)
        raise SpecError(f"--head {name}: expected --features of each of the {len(wanted)} collections that it was "
                        f"trained on together ({'; '.join(wanted_of(provenance))}), found {given} without "
                        f"{' and '.join(lacking)}")  # fmt: skip
    return JoinedCollection([found[k] for k in range(len(wanted))])


def _is_of_spec(spec: Mapping[str, Any], collection: Collection) -> bool:
    return collection.spec.as_dict() == spec


def _is_of_trunk(spec: Mapping[str, Any], collection: Collection) -> bool:
    return not other_parts([spec], [collection])
