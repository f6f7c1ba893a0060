"""A few photographs as a collection that does not stay: `amnet-extract` runs as a process, so that the stages meet only
in the file.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amnet_common.collection import Collection
from amnet_common.datasets.folder import is_image_name, read_folder
from amnet_common.errors import ConfigError, DatasetError, RunError

EXTRACT = "amnet-extract"
SOME_FAILED = 1  # its exit status: the others are done


def photos_of(paths: Sequence[Path]) -> list[Path]:
    """The files that are named, and every image below the folders that are named. Raises DatasetError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [path / id_ for id_ in read_folder(path).ids]
        elif path.is_file():
            found.append(path)
        else:
            raise DatasetError(f"predict: wanted image files or folders, found none at {path}")
    if not found:
        raise DatasetError(f"predict: wanted images below {', '.join(map(str, paths))}, found none")
    return found


def extracted(
    photos: Sequence[Path], work: Path, spec: Mapping[str, Any], weights: str | None, device: str
) -> Collection:
    """The evaluation view of each photograph, a row each in their order, cut as the features of `spec` are.

    `work`: an empty folder for the collection and for links to the photographs. Raises ConfigError where amnet-extract
    is not installed, RunError if it fails; it has said why.
    """
    links = work / "photos"
    links.mkdir()
    for number, photo in enumerate(photos):
        suffix = photo.suffix if is_image_name(photo.name) else ".jpg"  # of a file that was named, whatever its ending
        os.symlink(photo.absolute(), links / f"{number:09}{suffix}")
    out = work / "photos.h5"
    words = [command(), "--dataset", "folder", "--root", links, "--augs", "0", "--out", out, "--device", device]
    words += ["--plan", spec["view_plan"]["name"]] if "view_plan" in spec else []
    words += ["--weights", weights] if weights else []
    status = subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL, check=False).returncode
    if status not in (0, SOME_FAILED):
        raise RunError(f"predict: wanted features from {EXTRACT}, found its exit status {status}")
    return Collection(out)


def command() -> str:
    """Where amnet-extract is: beside this Python, or on the path. Raises ConfigError."""
    found = shutil.which(EXTRACT, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        raise ConfigError(f"predict: wanted the command {EXTRACT}, found none beside {sys.executable} or on the path")
    return found
