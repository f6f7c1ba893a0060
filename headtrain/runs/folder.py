"""The folder of a run: what stands in it, and how it is made.

run.json      what the run is, written first: configuration, collection, split, images, arithmetic; `--resume`
              compares it
config.toml   the configuration, as `--config` reads it
best.safetensors, last.safetensors   the checkpoints of the highest validation rho and of the last epoch
log.csv       a line for each epoch
state.pt      what `--resume` starts from; removed when the run is finished
test.csv      id, score and prediction of every test image, once
metrics.json  the result
dropped.json  after which epoch a sweep's halving pruned the run; it can still be resumed alone

`runs.record` reads run.json and metrics.json, `runs.log` log.csv, `evaluation.predictions` test.csv.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amnet_common.errors import OutputError
from amnet_common.files import write_json, write_text
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import Config

RUN, CONFIG, LOG, STATE, TEST, RESULT = "run.json", "config.toml", "log.csv", "state.pt", "test.csv", "metrics.json"
PRUNED = "dropped.json"
SPLIT = re.compile(r"split-(\d+)")  # folders of --split all


def new_run_folder(run: Path, identity: Mapping[str, Any], config: Config) -> None:
    """Make the folder and say in it what the run is. Raises OutputError if it exists or cannot be made."""
    try:
        run.mkdir(parents=True)
    except FileExistsError as error:
        raise OutputError(f"--out {run}: expected a new folder, found one that exists; give another name, or --resume "
                          "to go on with it") from error  # fmt: skip
    except OSError as error:
        raise OutputError(f"--out {run}: cannot be made: {error.strerror}") from error
    write_text(run / CONFIG, to_toml(config))
    write_json(run / RUN, identity)


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
