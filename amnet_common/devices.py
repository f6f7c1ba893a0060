"""The device a head runs on."""

import torch

from amnet_common.errors import ConfigError


def choose_device(name: str) -> str:
    """`auto` resolved: cuda where there is one, else the CPU. Raises ConfigError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name).cpu()  # the meta device gives nothing back
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).split("\n")[0]
        raise ConfigError(f"--device: wanted a device that torch can use, found {name!r} ({reason})") from error
    return name
