"""Memory that runs out while something is computed: how torch and numpy say so, and the one line for a user."""

import re
from collections.abc import Container

from amnet_common.errors import DeviceMemoryError

SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")  # CUDA, MPS, the CPU, cuBLAS
WORTH_KNOWING = re.compile(r".*? is free\.")  # of what CUDA says: how much was asked for, how much there is
MOST = 200  # characters of what others say
CURES = {
    "--residency": "--residency ram or disk",
    "--heads-per-pass": "a smaller --heads-per-pass",
    "--batch-size": "a smaller --batch-size",
    "--device": "--device cpu",
}


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it was raised from, says that memory ran out: a GPU's, or main memory."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, RuntimeError) and any(text in str(error) for text in SAID):
            return True
        error = error.__cause__
    return False


def reason(error: BaseException) -> str:
    """Return what an error that `is_out_of_memory` says, as a line, without advice that is no user's."""
    while not any(text in str(error) for text in SAID) and error.__cause__ is not None:
        error = error.__cause__
    line = " ".join(str(error).split()) or type(error).__name__
    found = WORTH_KNOWING.match(line)
    return (found[0] if found else line[:MOST]).rstrip(".")


def refusal(error: BaseException, options: Container[str]) -> DeviceMemoryError:
    """Build the error that a user meets, with those cures that a command has as `options`."""
    if isinstance(error, DeviceMemoryError):
        return error
    of_gpu = any(kind in reason(error) for kind in ("CUDA", "HIP", "MPS"))
    cures = [cure for option, cure in CURES.items() if option in options and (of_gpu or option != "--device")]
    advice = f"; what takes less: {', '.join(cures)}" if cures else ""
    saved = "; --resume goes on from what is saved" if "--resume" in options else ""
    return DeviceMemoryError(f"expected enough memory, found too little ({reason(error)}){advice}{saved}")
