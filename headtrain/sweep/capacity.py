"""How many heads fit in memory together: an estimate from their shapes, and what is free."""

import torch

from amnet_common.errors import ConfigError
from amnet_common.machine.memory import available_bytes
from headtrain.heads.architectures import new_head
from headtrain.settings.configuration import Config
from headtrain.training.pass_size import bytes_of_pass, chunk_size

COPIES = 6  # of the parameters: they, their gradients, Adam's two moments, the running average, its best state
SHARE = 0.5  # of the memory that is free beside the views; the batches want some too, pages of the file as well
MOST_ON_CPU = 16  # where more heads in a pass save no time


def heads_that_fit(config: Config, device: str, sharers: int = 1) -> int:
    """Estimate how many heads fit in the memory that is free on `device`, at least 1; views that are to lie there must
    be there already. So many processes share the main memory; a GPU's is this one's.

    Raises ConfigError if not even one fits in all that is free.
    """
    free, one = available_bytes(device) // (sharers if device == "cpu" else 1), bytes_of_head(config)
    if one > free:
        raise ConfigError(
            f"--heads-per-pass: expected {one / 1e9:.1f} GB for a head, found {free / 1e9:.1f} GB "
            f"free on {device}; a smaller --batch-size wants less where the head has a BatchNorm{beside_views(device)}"
        )
    found = max(1, int(SHARE * free / one))
    return min(found, MOST_ON_CPU) if device == "cpu" else found


def beside_views(device: str) -> str:
    """Return what else would help where views may lie in a GPU's memory; empty on a CPU."""
    return "" if device == "cpu" else ", --residency ram or disk leaves the views out of it"


def bytes_of_head(config: Config) -> int:
    """Estimate the bytes of a head in training: its parameters, what autograd keeps of a forward pass, and what a
    backward pass makes beside it.
    """
    with torch.device("meta"):
        head = new_head(config.head)
    images = chunk_size(head, config.training.batch_size)
    parameters = sum(parameter.numel() for parameter in head.parameters())
    return 4 * COPIES * parameters + bytes_of_pass(head, images)
