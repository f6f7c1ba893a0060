"""The device that features are computed or heads trained on, and what it can do."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import torch

from amnet_common.errors import ConfigError, DeviceWarning


def multiplies_bfloat16(device: str) -> bool:
    """Tell whether a device has units for bfloat16 products; a CPU that only emulates them is slower with it."""
    kind = torch.device(device).type
    if kind == "cuda":
        with made_current(device):  # which torch asks
            return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


@contextmanager
def made_current(device: str) -> Iterator[None]:
    """Make a card the current one, for what torch asks of no other: so none is opened beside it. Where no driver can
    change cards, none is.
    """
    with ExitStack() as held:
        with suppress(RuntimeError):
            held.enter_context(torch.cuda.device(device))
        yield


def choose_device(name: str) -> str:
    """Return the device of that name; `auto` is cuda where there is one that computes, else the CPU.

    A card that this torch cannot use, for which it has no kernels say, is passed over with a DeviceWarning that says
    why. Raises ConfigError for a device that is named and is not there, or cannot compute.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        if reason := why_unusable("cuda"):
            warnings.warn(
                f"--device auto: the GPU is left out, the CPU computes: {reason}", DeviceWarning, stacklevel=2
            )
            return "cpu"
        return "cuda"
    if reason := why_unusable(name):
        raise ConfigError(f"--device: expected a device that torch can use, found {name!r} ({reason})")
    return name


def why_unusable(device: str) -> str:
    """Tell why torch cannot compute on a device, by running one small kernel there; empty if it can."""
    try:
        named = torch.device(device)
        if named.type == "cuda" and (named.index or 0) >= (cards := torch.cuda.device_count()) > 0:
            return f"no such card; there {'is one, cuda:0' if cards == 1 else f'are cuda:0 to cuda:{cards - 1}'}"
        torch.ones(8, device=named).mul(2).sum().item()  # the meta device has no value to give
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        return str(error).split("\n")[0]
    return ""
