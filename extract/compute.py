"""On what, in what arithmetic and by which kernels the trunk runs: decided once for the whole job."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import PIL
import torch
import torchvision

from amnet_common.errors import ConfigError
from amnet_common.machine.compiler import compiler_works, no_compiler
from amnet_common.machine.cpu_limit import available_cores
from amnet_common.machine.devices import choose_device, multiplies_bfloat16
from amnet_common.machine.threads import usual_threads
from extract.trunk_description import USUAL_TRUNK, TrunkDescription

AUTO = "auto"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_BATCH = 8  # fastest on two to four cores: the activations of more views leave the cache
GPU_BATCH = 256
PAYS_FROM = {"cpu": 5_000, "cuda": 500_000}  # views of a file that make compiling good; on a GPU a guess
COMPILED, EAGER = "compiled", "eager"


@dataclass(frozen=True)
class Hardware:
    """Describe what a command asks of the machine; None and `auto` leave it to `choose_compute`."""

    device: str = AUTO
    precision: str = AUTO
    batch_size: int | None = None
    threads: int | None = None  # torch's, on a CPU
    workers: int | None = None  # that read, decode and cut
    compiled: bool | None = None


@dataclass(frozen=True)
class Compute:
    """Describe device, arithmetic, batch and kernels of the trunk.

    Together with the library versions they are the kernel path.
    """

    device: str
    precision: str
    batch_size: int
    threads: int  # torch's, on the CPU
    compiled: bool = False
    versions: tuple[tuple[str, str], ...] = ()  # of libraries that the trunk is of, beside torch and torchvision
    usual: bool = True  # of the trunk that was measured so

    @property
    def kind(self) -> str:
        """Return the kind of device: cpu, cuda, mps."""
        return torch.device(self.device).type

    def kernel_path(self) -> Mapping[str, object]:
        """Return what else the last bits of a feature depend on, beside the spec."""
        name = torch.cuda.get_device_name(self.device) if self.kind == "cuda" else platform.machine()
        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__}
        versions |= dict(self.versions)
        chosen = {
            "device": self.kind,
            "device_name": name,
            "precision": self.precision,
            "batch_size": self.batch_size,
        }
        if self.kind == "cpu":
            chosen |= {"threads": self.threads, "capability": torch.backends.cpu.get_cpu_capability()}
        if self.precision == "bfloat16" and self.usual:
            chosen |= {"first_convolutions": "float32"}  # extract.trunk.to_bfloat16
        return {**chosen, "mode": COMPILED if self.compiled else EAGER, **versions}

    def __str__(self) -> str:
        compiled = ", compiled" if self.compiled else ""
        return f"{self.precision} on {self.device}{compiled}, batches of {self.batch_size}"


def choose_compute(
    hardware: Hardware, views: int = 0, begun: Mapping[str, Any] | None = None, trunk: TrunkDescription = USUAL_TRUNK
) -> Compute:
    """Choose device, arithmetic, batch and kernels of the trunk, as asked for or else as is best.

    What is not asked for is as in `begun`, the kernel path of a file, or the best for the hardware and for a file of
    so many views; of another kind of device only the precision counts. On a CPU, torch gets that number of threads.
    Another trunk than the usual one is not compiled, and computed in float32 unless half precision is asked for
    (`extract.fidelity`).

    Raises ConfigError for a device that is not there, an unknown precision (of a newer file) or one that the trunk is
    not known to bear, a batch below 1, or compiled kernels that are asked for where there is no compiler.
    """
    device = choose_device(hardware.device)
    kind = torch.device(device).type
    kept = begun if begun and begun.get("device") == kind else {}
    batch = hardware.batch_size
    if batch is None:
        batch = kept.get("batch_size", CPU_BATCH if kind == "cpu" else GPU_BATCH)
    if batch < 1:
        raise ConfigError(f"--batch-size: expected 1 or more, found {batch}")
    precision = hardware.precision
    if precision == AUTO:
        precision = (begun or {}).get("precision") or (_fastest_precision(kind) if trunk.usual else trunk.precisions[0])
    if precision in PRECISIONS and precision not in trunk.precisions:
        raise ConfigError(f"--precision: expected {' or '.join(trunk.precisions)} with --trunk {trunk.name}, whose "
                          f"features no other is known to keep, found {precision!r}")  # fmt: skip
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision: expected {', '.join(PRECISIONS)}, found {precision!r}")
    if kind == "cpu":
        torch.set_num_threads(hardware.threads or kept.get("threads") or usual_threads())
    if hardware.compiled and not trunk.usual:
        raise ConfigError(
            f"--compile: expected the trunk that was measured so, found --trunk {trunk.name}; leave it out"
        )
    compiled = trunk.usual and choose_compiled(hardware.compiled, device, views, kept.get("mode"))
    return Compute(device, precision, batch, torch.get_num_threads(), compiled, trunk.versions, trunk.usual)


def choose_compiled(wanted: bool | None, device: str, views: int, begun: str | None) -> bool:
    """Tell whether to compile: as asked for; else as the file was begun; else where so many views pay for it.

    Never without a compiler: raises ConfigError if it is asked for there.
    """
    pays = views >= PAYS_FROM.get(torch.device(device).type, sys.maxsize)
    compiled = pays if begun is None else begun == COMPILED
    if wanted is not None:
        compiled = wanted
    able = compiled and compiler_works(device)
    if wanted and not able:
        raise ConfigError(no_compiler(device))
    return able


def _fastest_precision(kind: str) -> str:
    """Half precision where the hardware multiplies it faster; a CPU that only emulates bfloat16 is slower with it."""
    if kind == "cpu":
        return "bfloat16" if multiplies_bfloat16(kind) else "float32"
    return "float16"


def default_workers(kind: str, sharers: int = 1) -> int:
    """Return the number of decoding threads: beside a CPU trunk a few are plenty, a GPU wants all cores (up to 32) that
    it has to itself, of so many that share them.
    """
    cores = max(1, available_cores() // sharers)
    return max(1, cores // 4) if kind == "cpu" else min(cores, 32)
