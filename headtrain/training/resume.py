"""state.pt: all that the next epoch needs, so that a killed run, resumed, ends with the weights of an undisturbed one.

Random numbers need no state: order, views and dropout of an epoch come from generators keyed by seed and epoch.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from amnet_common.errors import DamagedRunError
from amnet_common.files import whole_file
from amnet_common.small_texts import checked, shortened, typed
from amnet_common.tensor_files import read_pickle
from headtrain.heads.checkpoint import Tensors
from headtrain.heads.fitting import misfits
from headtrain.heads.head import Head
from headtrain.runs.folder import STATE
from headtrain.runs.log import Epoch
from headtrain.training.averaging import RunningAverage

STEP = torch.zeros(())  # how Adam counts its steps


def save_state(
    run: Path, head: Head, optimiser: torch.optim.Optimizer, average: RunningAverage, best: Tensors,
    epochs: list[Epoch],
) -> None:  # fmt: skip
    """Write state.pt, whole and on the disk before it has its name. Raises OutputError."""
    state = {
        "head": alone(head.state_dict()),
        "optimiser": alone(optimiser.state_dict()),
        "average": alone(average.head.state_dict()),
        "updates": average.updates,
        "best": best,
        "epochs": [asdict(epoch) for epoch in epochs],
    }
    with whole_file(run / STATE) as temporary, open(temporary, "wb") as file:
        torch_save(state, file)


def alone(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Copy every tensor of a state: they may be views of what all heads of a bank have in common."""
    return {
        key: value.clone() if isinstance(value, Tensor) else alone(value) if isinstance(value, Mapping) else value
        for key, value in state.items()
    }


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
    file. Raises DamagedRunError if it cannot be read or does not fit: nothing is put into anything then.
    """
    path = run / STATE
    if not os.path.lexists(path):
        return [], {}
    try:
        state = read_pickle(path)
        refuse_unlike(state, head, optimiser, average)
        epochs = [Epoch.from_dict(values) for values in state["epochs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRunError(
            f"{path}: expected the state of this run, found one that cannot be read ({error})"
        ) from error
    head.load_state_dict(state["head"])
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state["optimiser"]["state"]})
    average.head.load_state_dict(state["average"])
    average.updates = state["updates"]
    return epochs, {name: tensor.to(head.target_mean.device) for name, tensor in state["best"].items()}


def refuse_unlike(state: Any, head: Head, optimiser: torch.optim.Optimizer, average: RunningAverage) -> None:  # noqa: ANN401 - whatever was read
    """Raise ValueError if a state is not one of these objects: kernels write past a tensor that is too short."""
    checked("a state", dict, state)
    for part, wanted in (("head", head), ("average", average.head), ("best", average.head)):
        refuse_unfitting(part, wanted.state_dict(), state.get(part))
    refuse_other_optimiser(optimiser, state.get("optimiser"))
    if checked("updates", int, state.get("updates")) < 0:
        raise ValueError(f"{state['updates']} updates")
    epochs = checked("epochs", list, state.get("epochs"))
    for number, epoch in enumerate(epochs, 1):
        refuse_other_epoch(number, checked(f"epoch {number}", dict, epoch))
    if not any(epoch.get("best") for epoch in epochs):
        raise ValueError("no best epoch")


def refuse_unfitting(part: str, wanted: Tensors, found: Any) -> None:  # noqa: ANN401 - whatever was read
    """Raise ValueError unless a part of a state has the wanted tensors and no others."""
    if not isinstance(found, Mapping):
        raise ValueError(f"no {part}")
    lines = misfits(wanted, found) + [f"{shortened(name)} is unknown" for name in found if name not in wanted]
    if lines:
        raise ValueError(f"{part}: {lines[0]}")


def refuse_other_optimiser(optimiser: torch.optim.Optimizer, found: Any) -> None:  # noqa: ANN401 - whatever was read
    """Raise ValueError unless Adam's moments fit the parameters. Its settings are the run's, whatever the file says."""
    moments = found.get("state") if isinstance(found, Mapping) else None
    if not isinstance(moments, Mapping):
        raise ValueError("no state of the optimiser")
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    for number, one in moments.items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"optimiser: moments of a parameter {shortened(number)}, which is none")
        wanted = {"step": STEP, "exp_avg": parameters[number], "exp_avg_sq": parameters[number]}
        refuse_unfitting(f"optimiser, parameter {number}", wanted, one)


def refuse_other_epoch(number: int, found: Mapping[str, Any]) -> None:
    """Raise ValueError unless an epoch of a state has this number, and values of the types that a log has."""
    for field in fields(Epoch):
        typed(found, field.name, field.type, field.default)  # type: ignore[arg-type] # no texts: they are types here
    if found.get("epoch") != number:
        raise ValueError(f"epoch {shortened(found.get('epoch'))} where {number} should stand")
