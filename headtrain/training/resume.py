"""state.pt: all that the next epoch needs, so that a killed run, resumed, ends with the weights of an undisturbed one.

Random numbers need no state: order, views and dropout of an epoch come from generators keyed by seed and epoch.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch

from amnet_common.errors import RunError
from amnet_common.files import whole_file
from headtrain.heads.checkpoint import Tensors
from headtrain.heads.head import Head
from headtrain.runs.folder import STATE
from headtrain.runs.log import Epoch
from headtrain.training.averaging import RunningAverage


def save_state(
    run: Path, head: Head, optimiser: torch.optim.Optimizer, average: RunningAverage, best: Tensors,
    epochs: list[Epoch],
) -> None:  # fmt: skip
    """Write state.pt, whole and on the disk before it has its name. Raises OutputError."""
    state = {
        "head": {name: tensor.clone() for name, tensor in head.state_dict().items()},  # alone, not a bank's memory
        "optimiser": optimiser.state_dict(),
        "average": average.head.state_dict(),
        "updates": average.updates,
        "best": best,
        "epochs": [asdict(epoch) for epoch in epochs],
    }
    with whole_file(run / STATE) as temporary, open(temporary, "wb") as file:
        torch_save(state, file)


def torch_save(state: Mapping[str, Any], file: IO[bytes]) -> None:
    """Save with torch, whose RuntimeError for a disk that takes no more becomes the OSError that it hides."""
    hidden: list[OSError] = []

    class Noting:
        def write(self, data: bytes) -> int:
            try:
                return file.write(data)
            except OSError as error:
                hidden.append(error)
                raise

        def flush(self) -> None:
            file.flush()

    try:
        torch.save(state, Noting())  # type: ignore[arg-type] # it writes and flushes, and does nothing else
        file.flush()
    except RuntimeError as error:
        raise (hidden[0] if hidden else error) from error


def load_state(
    run: Path, head: Head, optimiser: torch.optim.Optimizer, average: RunningAverage
) -> tuple[list[Epoch], Tensors]:
    """Put the state of state.pt into the given objects, and return what else it holds.

    That is the epochs done so far and the average's state after the best of them; both are empty if there is no such
    file. Raises RunError if it cannot be read.
    """
    path = run / STATE
    if not path.exists():
        return [], {}
    try:
        state = torch.load(path, map_location=head.target_mean.device, weights_only=True)
        head.load_state_dict(state["head"])
        optimiser.load_state_dict(state["optimiser"])
        average.head.load_state_dict(state["average"])
        average.updates = int(state["updates"])
        return [Epoch.from_dict(values) for values in state["epochs"]], dict(state["best"])
    except Exception as error:  # torch's unpickler raises whatever it meets on strange bytes
        raise RunError(f"{path}: expected the state of this run, found one that cannot be read ({error})") from error
