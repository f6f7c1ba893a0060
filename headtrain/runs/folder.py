"""The folder of a run: what stands in it, and how it is made.

run.json      what the run is, written first: configuration, collection, split, images, arithmetic; `--resume`
              compares it
config.toml   the configuration, as `--config` reads it
best.safetensors, last.safetensors   the checkpoints of the highest validation rho and of the last epoch
log.csv       a line for each epoch
state.pt      what `--resume` goes on from; removed when the run is finished
test.csv      id, score and prediction of every test image, once
metrics.json  the result
dropped.json  after which epoch a sweep's halving gave the run up; it can still be resumed alone
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amnet_common.collection.spec import differences
from amnet_common.errors import OutputError, RunError
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import Config

RUN, CONFIG, LOG, STATE, TEST, METRICS = "run.json", "config.toml", "log.csv", "state.pt", "test.csv", "metrics.json"
DROPPED = "dropped.json"

DECISIVE = ("config", "split", "selected_on", "fingerprint", "images", "precision")  # what must be equal to resume
UNSAID = {"precision": "float32"}  # in run.json of older versions, which knew nothing else


def new_run_folder(run: Path, identity: Mapping[str, Any], config: Config) -> None:
    """Make the folder and say in it what the run is. Raises OutputError if it exists or cannot be made."""
    try:
        run.mkdir(parents=True)
        write_whole(run / CONFIG, to_toml(config))
        write_json(run / RUN, identity)
    except FileExistsError as error:
        raise OutputError(f"--out {run}: expected a new folder, found one that exists; give another name, or --resume "
                          "to go on with it") from error  # fmt: skip
    except OSError as error:
        raise OutputError(f"--out {run}: cannot be made: {error.strerror}") from error


def refuse_other_run(run: Path, identity: Mapping[str, Any]) -> None:
    """RunError, with each difference, if the folder is of another run than `identity`; where it ran may differ."""
    begun = read_json(run / RUN)
    begun["config"] = Config.from_dict(begun.get("config", {})).as_dict()  # settings that its version did not know yet
    now = json.loads(json.dumps(identity))
    lines = differences(
        {key: begun.get(key, UNSAID.get(key)) for key in DECISIVE}, {key: now.get(key) for key in DECISIVE}
    )
    if lines:
        raise RunError(f"--resume: {run} is another run: {'; '.join(lines)}")


def begun_kernels(folder: Path) -> tuple[str, bool] | None:
    """In which precision the first run that is `folder`, or stands below it, was begun, and whether compiled; None if
    there is none.
    """
    first = min(folder.glob(f"**/{RUN}"), default=None)
    if first is None:
        return None
    begun = read_json(first)
    return str(begun.get("precision", UNSAID["precision"])), bool(begun.get("compiled", False))


def free_run_name(folder: Path, name: str) -> Path:
    """folder/name, or folder/name-2, -3 ... where that exists."""
    path, number = folder / name, 2
    while path.exists():
        path, number = folder / f"{name}-{number}", number + 1
    return path


def read_json(path: Path) -> dict[str, Any]:
    """One of a run's JSON files. Raises RunError."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: expected a file of a run, found none that can be read ({error})") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON file, whole or not at all. ValueError for NaN, which JSON has not."""
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
