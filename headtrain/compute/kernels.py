"""In what arithmetic, and by which kernels, heads train and score: decided once for a job, then held in one place.

Validation and test are always float32 and eager.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import ParamSpec

import torch
from torch import Tensor

from amnet_common.errors import ConfigError
from amnet_common.machine.compiler import compiler_works, no_compiler
from amnet_common.machine.devices import multiplies_bfloat16
from headtrain.compute.bank.bank import Bank, Places
from headtrain.features.batches import to_floats
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
PAYS_FROM = {"cpu": 15_000, "cuda": 750_000}  # views shown to heads in all epochs; compiling takes 15 to 40 s once

MOST_KERNELS = 64  # of a process, by shape and settings; above it torch would go on eagerly without a word

P = ParamSpec("P")
Forward = Callable[[Tensor, Tensor | None, Tensor, Tensor], Output]  # stored views, scales, keys, numbers of the images
Predictor = Callable[[Head, Tensor, Tensor | None], Output]


@dataclass(frozen=True)
class Kernels:
    """Describe how products are computed, and whether the rest is compiled.

    bfloat16 is of the matrix products and what they read and write: parameters, their gradients, sums, f_m and the
    optimiser stay float32. Compiled kernels differ from eager ones in the last bits.
    """

    precision: str = FLOAT32
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, {'compiled' if self.compiled else 'eager'}"


EAGER = Kernels()


def choose_precision(wanted: str, device: str, foreign: bool = False) -> str:
    """Choose the precision. `auto`: bfloat16 where the device has units for it, which is twice as fast, else float32;
    anything else is returned as it is.

    `foreign`: of a head of a user's own, for which it is float32, as its last layer may be one of the products that
    bfloat16 rounds: its scores would have three digits.
    """
    if wanted != AUTO:
        return wanted
    return BFLOAT16 if multiplies_bfloat16(device) and not foreign else FLOAT32


def choose_kernels(precision: str, compiled: bool | None, device: str, shown: int, foreign: bool = False) -> Kernels:
    """Choose the kernels of a job. `compiled` None: where `shown`, the views that heads see in all epochs, pays for it
    and a compiler is there. `foreign`: of a head of a user's own.

    Raises ConfigError if compiled kernels are asked for and there is no compiler.
    """
    pays = shown >= PAYS_FROM.get(torch.device(device).type, sys.maxsize)
    wanted = pays if compiled is None else compiled
    able = wanted and compiler_works(device)
    if compiled and not able:
        raise ConfigError(no_compiler(device))
    return Kernels(choose_precision(precision, device, foreign), able)


def forward_of(bank: Bank, kernels: Kernels, size: int) -> Forward:
    """Return a function from stored views (n, 14, 14, D), their scales, and what dropout is a hash of - the step's keys
    (N, places, 2) and the numbers (n,) of the images in their batch - to the bank's output.

    Compiled for n = `size`; the smaller rest of a batch is computed eagerly.
    """
    half = kernels.precision == BFLOAT16

    def chosen(stored: Tensor, scales: Tensor | None, keys: Tensor, image: Tensor) -> Output:
        run = compiled_forward() if kernels.compiled and len(stored) == size else forward
        places = bank.places(len(stored))
        with unmapped_named(bank):
            return run(bank, half, stored, scales, places, keys, image)

    return chosen


@contextmanager
def unmapped_named(bank: Bank) -> Iterator[None]:
    """Turn what torch says of operators of a user's head that cannot be mapped into a ConfigError that names a cure."""
    try:
        yield
    except RuntimeError as error:
        if len(bank.heads) == 1 or not bank.heads[0].config.source or isinstance(error, torch.OutOfMemoryError):
            raise
        name, found = type(bank.heads[0]).__name__, " ".join(str(error).split())[:300]
        raise ConfigError(f"{name}.forward: expected operators that torch.func.vmap can map over heads, found {found}; "
                          "--heads-per-pass 1 trains them one by one") from error  # fmt: skip


def forward(
    bank: Bank, half: bool, stored: Tensor, scales: Tensor | None, places: Places, keys: Tensor, image: Tensor
) -> Output:
    """Compute a bank's output for stored views, with dropout: the eager kernels, and what is compiled."""
    drawn = bank.draw(places, keys, image)
    # no cache: one head would add up the gradients of a weight that serves every step in bfloat16, a bank in float32
    with torch.autocast(bank.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
        return bank.forward(to_floats(stored, scales), drawn)


@cache
def compiled_forward() -> Callable[[Bank, bool, Tensor, Tensor | None, Places, Tensor, Tensor], Output]:
    """Return `forward` compiled."""
    return compiled_well(forward)


def compiled_well(function: Callable[P, Output]) -> Callable[P, Output]:
    """Compile a function anew for each shape and setting, never generalised from those that came before, so that a
    head's bits do not depend on them. The system's temporary folder keeps what was compiled for later processes.
    """
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"  # torch 2.6
    setattr(torch._dynamo.config, limit, MOST_KERNELS)
    warnings.filterwarnings("ignore", "bf16 and fp16 are mixed")  # stored float16 goes into bfloat16: as intended
    return torch.compile(function, dynamic=False)


def predictor_of(kernels: Kernels, size: int) -> Predictor:
    """Return a function from a head in evaluation mode, up to `size` stored views (n, 14, 14, D) on its device and
    their scales to the output on the data's scale, float32.

    Every call runs the same shape, the last batch padded, so that a score does not depend on what is scored beside it.
    """
    half, run = kernels.precision == BFLOAT16, compiled_predict() if kernels.compiled else predict

    @torch.no_grad()  # not inference mode, whose tensors the compiler does not take
    def chosen(head: Head, stored: Tensor, scales: Tensor | None) -> Output:
        n = len(stored)
        padded = stored if n == size else torch.cat([stored, stored.new_zeros(size - n, *stored.shape[1:])])
        return Output(*(part[:n] for part in run(head, half, padded, scales)))

    return chosen


def predict(head: Head, half: bool, stored: Tensor, scales: Tensor | None) -> Output:
    """Compute a head's output on the data's scale, float32: the eager kernels, and what is compiled."""
    with torch.autocast(head.target_mean.device.type, torch.bfloat16, enabled=half):
        output = head(to_floats(stored, scales), STILL)
    return head.on_data_scale(Output(*(part.float() for part in output)))


@cache
def compiled_predict() -> Callable[[Head, bool, Tensor, Tensor | None], Output]:
    """Return `predict` compiled."""
    return compiled_well(predict)
