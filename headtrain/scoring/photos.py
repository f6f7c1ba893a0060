"""A few photographs as a collection that does not stay: `amnet-extract` runs as a process, so that the stages meet only
in the file.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.datasets.folder import is_image_name, read_folder
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.reporting import reporter

EXTRACT = "amnet-extract"
HASH = "weights_sha256"  # in a spec
USUAL_TRUNK = "resnet50-layer3"
TOLD = ("msra-2015", "msra-2015-bgr")  # variants that a file of weights may not name
SOME_FAILED = 1  # its exit status: the others are done
KILLED = 128  # and the number of the signal: the exit status of what was killed, as a shell has it


class Photos(NamedTuple):
    """Hold image files, and what was left out of their folders."""

    files: list[Path]
    notes: list[str]


def photos_of(paths: Sequence[Path]) -> Photos:
    """List the files that are named, and every image below the folders that are named. Raises DatasetError."""
    found = Photos([], [])
    for path in paths:
        if path.is_dir():
            dataset = images_below(path)
            found.files.extend(path / id_ for id_ in dataset.ids)
            found.notes.extend(dataset.notes)
        elif path.is_file():
            found.files.append(path)
        else:
            raise DatasetError(f"predict: expected image files or folders, found none at {path}")
    return found


def images_below(folder: Path) -> Dataset:
    """List all images below a folder. Raises DatasetError if there is none."""
    try:
        return read_folder(folder)
    except DatasetError as error:
        raise DatasetError(f"predict: expected images below {folder}, found none that can be read") from error


def extracted(
    photos: Sequence[Path], work: Path, spec: Mapping[str, Any], weights: str | None, device: str, augs: int = 0,
    trunk: str = "",
) -> Collection | int:  # fmt: skip
    """Extract the evaluation view of each photograph and `augs` augmented ones, a row each in their order, cut as the
    features of `spec` are.

    `work`: an empty folder for the collection and for links to the photographs. `trunk`: what that of `spec` is called,
    should other weights be refused. Its exit status if amnet-extract fails,
    which has said why. Raises ConfigError where it is not installed.
    """
    links = work / "photos"
    links.mkdir()
    for number, photo in enumerate(photos):
        asked_for = f"{photo.name.lstrip('.')}.jpg"  # whatever its name
        name = photo.name if is_image_name(photo.name) else asked_for
        (links / f"{number:09}").mkdir()
        os.symlink(photo.absolute(), links / f"{number:09}" / name)
    out = work / "photos.h5"
    words = [command(), "--dataset", "folder", "--root", links, "--augs", augs, "--out", out, "--device", device]
    words += plan_words(spec.get("view_plan", {}))
    words += ["--trunk", spec["trunk"]] if spec.get("trunk", USUAL_TRUNK) != USUAL_TRUNK else []
    words += ["--weights", weights] if weights else []
    words += ["--variant", spec["variant"]] if weights_file(weights) and spec.get("variant") in TOLD else []
    words += ["--expect-weights", f"{spec[HASH]} {trunk}".rstrip()] if HASH in spec else []
    words += reporter().words()
    status = subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL, check=False).returncode
    if status not in (0, SOME_FAILED):
        return status if status > 0 else KILLED - status
    return Collection(out)


def weights_file(weights: str | None) -> bool:
    """Tell whether weights are a file, whose variant may have to be told."""
    return os.path.isfile(weights or os.environ.get("AMNET_WEIGHTS") or "")


def plan_words(view_plan: Mapping[str, Any]) -> list[str]:
    """Return the options that cut views by this plan; none if it is not known."""
    if "name" not in view_plan:
        return []
    return ["--plan", str(view_plan["name"]), "--plan-version", str(view_plan.get("version", 1))]


def command() -> str:
    """Find amnet-extract: beside this Python, or on the path. Raises ConfigError if it is not there."""
    found = shutil.which(EXTRACT, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        raise ConfigError(f"predict: expected the command {EXTRACT}, found none beside {sys.executable} or on the path")
    return found
