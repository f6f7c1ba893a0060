"""A head on disk: one safetensors file.

It holds the parameters under the paper's letters (or the released names) and the statistics it needs; its metadata, the
configuration and the spec of the features it was trained on.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from amnet_common.errors import ChangedHeadWarning, ConfigError, RunError
from amnet_common.files import whole_file
from amnet_common.small_texts import shortened
from amnet_common.tensor_files import read_metadata, read_safetensors
from headtrain.heads.architectures import new_head
from headtrain.heads.fitting import misfits
from headtrain.heads.head import Head
from headtrain.heads.own import changed_line
from headtrain.heads.provenance import FORMAT, Provenance

BEST, LAST = "best.safetensors", "last.safetensors"

Tensors = Mapping[str, Tensor]  # the state of a head


def save_head(path: Path, head: Head, provenance: Provenance) -> None:
    """Write a checkpoint, replacing an older one only when the new one is whole. Raises OutputError."""
    save_tensors(path, head.state_dict(), provenance)


def save_tensors(path: Path, state: Tensors, provenance: Provenance) -> None:
    """Write a checkpoint as `save_head` does, of a head's state by the names in it. Raises OutputError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, provenance.metadata()))


def load_head(run: str | os.PathLike[str], device: str = "cpu") -> Head:
    """Load the best head of a run folder, or the head of a checkpoint file, in evaluation mode.

    `.predict(x)` scores raw features. Its configuration is `.config`, what it was made from `.provenance`.

    >>> load_head("runs/lamem-amnet-1")
    <PaperHead: 3 steps, attention; preset amnet, split 1, epoch 1>

    Raises RunError if there is none or it does not fit.
    """
    path = checkpoint_of(Path(run))
    provenance = read_provenance(path)
    try:
        with torch.device("meta"):  # no memory, no random numbers: every tensor comes from the file
            head = new_head(provenance.config.head)
    except ConfigError as error:  # of a class that nobody named, or whose settings have changed
        raise RunError(f"{path}: {error}") from error
    if line := changed_line(provenance.config.head):
        warnings.warn(f"{path}: {line}", ChangedHeadWarning, stacklevel=2)
    wanted = head.state_dict()
    try:
        found, _ = read_safetensors(path)
        head.load_state_dict(found, assign=True)
        if lines := misfits(wanted, found):  # of another dtype: names and shapes fit
            raise ValueError(f"{len(lines)} of another type, {lines[0]}")
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise RunError(f"{path}: expected the parameters of its own configuration: {reason}") from error
    refuse_undefined(path, head)
    head.provenance = provenance
    return head.eval().requires_grad_(False).to(device)


def refuse_undefined(path: Path, head: Head) -> None:
    """Raise RunError if a parameter or a statistic of a head is NaN or infinite, as after a training that diverged."""
    for name, tensor in head.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise RunError(f"{path}: expected finite parameters, found NaN or infinity in {name}: a training diverged")


def checkpoint_of(run: Path) -> Path:
    """Return the file of the best head of a run folder; a checkpoint file is one itself."""
    return run / BEST if run.is_dir() else run


def read_provenance(path: Path) -> Provenance:
    """Read what a checkpoint says of itself. Raises RunError if it is none."""
    if not path.is_file():
        raise RunError(f"{path}: expected a run folder with {BEST} or a checkpoint, found no such file")
    try:
        metadata = read_metadata(path)
        if metadata.get("format") != FORMAT:
            raise RunError(f"{path}: expected format {FORMAT!r}, found {shortened(metadata.get('format'))}")
        return Provenance.from_metadata(metadata)
    except (KeyError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        found = f"no {error}" if isinstance(error, KeyError) else error
        raise RunError(f"{path}: expected a head's checkpoint, found a file that is none ({found})") from error
