"""The device that features are computed or heads trained on, and what it can do."""

import torch

from amnet_common.errors import ConfigError


def multiplies_bfloat16(device: str) -> bool:
    """Tell whether a device has units for bfloat16 products; a CPU that only emulates them is slower with it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def choose_device(name: str) -> str:
    """Return the device of that name; `auto` is cuda where there is one, else the CPU.

    Raises ConfigError for a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name).cpu()  # the meta device gives nothing back
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).split("\n")[0]
        raise ConfigError(f"--device: expected a device that torch can use, found {name!r} ({reason})") from error
    return name
