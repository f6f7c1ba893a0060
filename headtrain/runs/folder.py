"""The folder of a run: what stands in it, and how it is made.

run.json      what the run is, written first: configuration, collection, split, images, arithmetic; `--resume`
              compares it
config.toml   the configuration, as `--config` reads it
best.safetensors, last.safetensors   the checkpoints of the highest validation rho and of the last epoch
log.csv       a line for each epoch
state.pt      what `--resume` starts from; removed when the run is finished, but for `--keep-state`
test.csv      id, score and prediction of every test image, once
metrics.json  the result
diverged.json  after which epoch the training could not go on, and why: the run has no result
dropped.json  after which epoch a sweep's halving pruned the run; it can still be resumed alone

`runs.documents` reads run.json and metrics.json, `runs.log` log.csv, `evaluation.predictions` test.csv.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amnet_common.errors import OutputError, RunError
from amnet_common.files import whole_folder, write_json, write_text
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import Config

RUN, CONFIG, LOG, STATE, TEST, RESULT = "run.json", "config.toml", "log.csv", "state.pt", "test.csv", "metrics.json"
PRUNED, DIVERGED = "dropped.json", "diverged.json"
SPLIT = re.compile(r"split-(\d+)")  # folders of --split all


def new_run_folder(run: Path, identity: Mapping[str, Any], config: Config) -> None:
    """Make the folder of a run, whole or not at all, and say in it what the run is.

    What a kill of an older version left half-made is thrown away. Raises OutputError if the folder is there, or cannot
    be made.
    """
    if run.exists():
        if not is_half_made(run):
            raise OutputError(f"--out {run}: expected a new folder, found one that exists; give another name, or "
                              "--resume to resume it")  # fmt: skip
        (run / CONFIG).unlink(missing_ok=True)
    with whole_folder(run, "--out") as made:
        write_text(made / CONFIG, to_toml(config))
        write_json(made / RUN, identity)


def is_half_made(run: Path) -> bool:
    """Tell whether a folder is empty, or holds no more than a kill between its first two files left."""
    return run.is_dir() and {path.name for path in run.iterdir()} <= {CONFIG}


def refuse_absent(run: Path) -> None:
    """Raise RunError for a folder to be resumed that is not there, with the nearest name that is."""
    if not run.is_dir():
        names = [path.name for path in run.parent.iterdir() if path.is_dir()] if run.parent.is_dir() else []
        near = difflib.get_close_matches(run.name, names, 1)
        meant = f"; did you mean {run.with_name(near[0])}?" if near else "; without --resume it is begun"
        raise RunError(f"--resume: expected the folder {run}, found none{meant}")


def free_run_name(folder: Path, name: str) -> Path:
    """Return folder/name, or folder/name-2, -3 ... where that exists."""
    path, number = folder / name, 2
    while path.exists():
        path, number = folder / f"{name}-{number}", number + 1
    return path


def split_folders(folder: Path) -> list[Path]:
    """List the folders split-1, split-2 ... in a folder, in the order of their numbers."""
    found = [path for path in folder.glob("split-*") if SPLIT.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("split-")))
