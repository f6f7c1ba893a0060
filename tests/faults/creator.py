"""Creates an empty collection when asked: a line of JSON with its path in, whether it could out."""

import json
import sys
from pathlib import Path

import numpy as np

from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.datasets import Dataset
from amnet_common.errors import OutputError

SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t"}, 0, "float32", "float16")


def create(path: Path) -> dict[str, object]:
    """{"won": true}, or the reason why not."""
    dataset = Dataset("test", path.parent, tuple(f"{i:03}.jpg" for i in range(100)), scores=np.arange(100.0))
    try:
        create_skeleton(path, dataset, 3, SPEC, {"mode": "eager"}, {})
    except OutputError as error:
        return {"won": False, "reason": str(error)}
    return {"won": True, "reason": ""}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(create(Path(json.loads(line)))) + "\n")
        sys.stdout.flush()
