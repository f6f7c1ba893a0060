"""What a head was made from: the metadata of a checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from amnet_common.collection.joint_spec import JOINED
from amnet_common.collection.spec import KINDS, canonical_json
from amnet_common.small_texts import checked, json_object, json_value, shortened
from headtrain.features.seen import from_text
from headtrain.settings.configuration import Config

FORMAT = "amnet-head 1"
LEAST_PARTS = 2  # of a joint spec


@dataclass(frozen=True)
class Provenance:
    """Describe what a head was made from."""

    config: Config
    spec: Mapping[str, Any]  # of the features: the fields of a Spec, or as many as an imported checkpoint tells
    split: int | None  # None: imported
    epoch: int | None  # of this checkpoint, from 1; None: imported
    trained_on: str = ""  # the files of the training images, as `seen.as_text` writes them; empty: not known

    def at(self, epoch: int) -> "Provenance":
        """Return the same provenance with another epoch."""
        return replace(self, epoch=epoch)

    def metadata(self) -> dict[str, str]:
        """Return the provenance as safetensors metadata."""
        known = {"trained_on": self.trained_on} if self.trained_on else {}
        return known | {
            "format": FORMAT,
            "config": canonical_json(self.config.as_dict()),
            "spec": canonical_json(self.spec),
            "split": json.dumps(self.split),
            "epoch": json.dumps(self.epoch),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Provenance":
        """Read what `metadata` gave. Raises KeyError for what is missing, ValueError for what cannot be."""
        config, spec = (json_object(metadata[name]) for name in ("config", "spec"))
        for one in parts_of(spec):
            for name, kind in KINDS.items():
                if name in one and not isinstance(one[name], kind):
                    raise ValueError(f"spec: {name} that is {shortened(one[name])}")
        split, epoch = (_number(name, json_value(metadata[name])) for name in ("split", "epoch"))
        trained_on = metadata.get("trained_on", "")
        from_text(trained_on)  # or it is refused here, and not where it is used
        return cls(Config.from_dict(config), spec, split, epoch, trained_on)


def parts_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the specs that a spec is of. Raises ValueError for parts of a joint one that cannot be."""
    if JOINED not in spec:
        return [spec]
    parts = checked(JOINED, list, spec[JOINED])
    if len(parts) < LEAST_PARTS:
        raise ValueError(f"{JOINED} of {len(parts)} specs")
    return [checked(JOINED, dict, one) for one in parts]


def _number(name: str, value: object) -> int | None:
    if value is not None and checked(name, int, value) < 0:
        raise ValueError(f"{name} {value}")
    return value  # type: ignore[return-value] # it was checked
