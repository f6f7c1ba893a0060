"""What a head was made from: the metadata of a checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from amnet_common.collection.spec import canonical_json
from headtrain.settings.configuration import Config

FORMAT = "amnet-head 1"


@dataclass(frozen=True)
class Provenance:
    """Describe what a head was made from."""

    config: Config
    spec: Mapping[str, Any]  # of the features: the fields of a Spec, or as many as an imported checkpoint tells
    split: int | None  # None: imported
    epoch: int | None  # of this checkpoint, from 1; None: imported

    def at(self, epoch: int) -> "Provenance":
        """Return the same provenance with another epoch."""
        return replace(self, epoch=epoch)

    def metadata(self) -> dict[str, str]:
        """Return the provenance as safetensors metadata."""
        return {
            "format": FORMAT,
            "config": canonical_json(self.config.as_dict()),
            "spec": canonical_json(self.spec),
            "split": json.dumps(self.split),
            "epoch": json.dumps(self.epoch),
        }
