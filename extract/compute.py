"""On what, and in what arithmetic, the trunk runs: decided once for the whole job, then held in one place."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
import torchvision
from torch import Tensor

from amnet_common.devices import choose_device, multiplies_bfloat16
from amnet_common.errors import ConfigError
from amnet_common.quantise import CODES
from extract.trunk import Trunk, build_trunk, fold_batchnorm
from extract.weights import Weights

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_BATCH = 8  # fastest on two to four cores: the activations of more views leave the cache
GPU_BATCH = 256


@dataclass(frozen=True)
class Compute:
    """Device, arithmetic and batch of the trunk. Together with the library versions: the kernel path."""

    device: str
    precision: str
    batch_size: int
    threads: int  # torch's, on the CPU

    def kernel_path(self) -> Mapping[str, object]:
        """What else the last bits of a feature depend on, beside the spec."""
        device = torch.device(self.device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__}
        chosen = {
            "device": device.type,
            "device_name": name,
            "precision": self.precision,
            "batch_size": self.batch_size,
        }
        if device.type == "cpu":
            chosen |= {"threads": self.threads, "capability": torch.backends.cpu.get_cpu_capability()}
        return {**chosen, "mode": "eager", **versions}


def choose_compute(
    device: str,
    precision: str,
    batch_size: int | None,
    threads: int | None = None,
    begun: Mapping[str, Any] | None = None,
) -> Compute:
    """What is not asked for (`auto`, None) is as in `begun`, the kernel path of a file, or the best for the hardware;
    batch and threads of another kind of device do not count. On a CPU, torch gets that number of threads.

    Raises ConfigError for a device that is not there, an unknown precision (of a newer file), or a batch below 1.
    """
    device = choose_device(device)
    kind = torch.device(device).type
    kept = begun if begun and begun.get("device") == kind else {}
    batch = batch_size if batch_size is not None else kept.get("batch_size", CPU_BATCH if kind == "cpu" else GPU_BATCH)
    if batch < 1:
        raise ConfigError(f"--batch-size: wanted 1 or more, found {batch}")
    if precision == "auto":
        precision = (begun or {}).get("precision") or _fastest_precision(kind)
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision: wanted {', '.join(PRECISIONS)}, found {precision!r}")
    if kind == "cpu":
        torch.set_num_threads(threads or kept.get("threads") or torch.get_num_threads())
    return Compute(device, precision, batch, torch.get_num_threads())


def _fastest_precision(kind: str) -> str:
    """Half precision where the hardware multiplies it faster; a CPU that only emulates bfloat16 is slower with it."""
    if kind == "cpu":
        return "bfloat16" if multiplies_bfloat16(kind) else "float32"
    return "float16"


def default_workers(kind: str) -> int:
    """Decoding threads: beside a CPU trunk a few are plenty, a GPU wants all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 4) if kind == "cpu" else min(cores, 32)


class Encoded(NamedTuple):
    """Features of n views as they are stored."""

    features: np.ndarray  # (n, 14, 14, 1024) float16, or uint8 codes
    clipped: np.ndarray  # (n,) int64: how many values were above their channel's range
    finite: np.ndarray  # (n,) bool: whether all values are numbers that can be stored


class FrozenTrunk:
    """The trunk in evaluation and inference mode, BatchNorm folded, in the arithmetic of `compute`.

    Every call runs the same shape, the last batch padded, so that a view's bits do not depend on its neighbours.
    Features become float16, or uint8 codes once `quantise_by` was called; both on the device.
    """

    def __init__(self, weights: Weights, compute: Compute) -> None:
        trunk: Trunk = fold_batchnorm(build_trunk(weights.variant, weights.state))
        dtype = PRECISIONS[compute.precision]
        self.trunk = trunk.to(compute.device, dtype).to(memory_format=torch.channels_last)
        if compute.precision == "float32":  # on a GPU the default is TF32, whose mantissa is no longer than float16's
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        self.compute = compute
        self.scales: Tensor | None = None

    def quantise_by(self, scales: np.ndarray) -> None:
        """From now on store uint8 codes by these scales, (D,) float32."""
        self.scales = torch.from_numpy(scales).to(self.compute.device)

    def __call__(self, pixels: np.ndarray) -> Encoded:
        """Of uint8 (n, 224, 224, 3), n at most the batch size."""
        short = self.compute.batch_size - len(pixels)
        padded = np.concatenate([pixels, np.zeros((short, *pixels.shape[1:]), np.uint8)]) if short else pixels
        with torch.inference_mode():
            x = self.trunk(torch.from_numpy(padded).to(self.compute.device))  # (B, 14, 14, 1024)
            parts = _as_float16(x) if self.scales is None else _as_codes(x, self.scales)
        return Encoded(*(part.cpu().numpy()[: len(pixels)] for part in parts))


def _as_float16(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    stored = x.half().contiguous()
    top = stored.amax((1, 2, 3))  # features are never negative: infinity and NaN both show in the maximum, (B,)
    return stored, torch.zeros_like(top, dtype=torch.int64), torch.isfinite(top)


def _as_codes(x: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """amnet_common.quantise.quantise on the device."""
    codes = torch.round(x.float() / scales)  # (B, 14, 14, D)
    clipped, finite = (codes > CODES).sum((1, 2, 3)), torch.isfinite(codes.amax((1, 2, 3)))
    return codes.clamp(0, CODES).to(torch.uint8).contiguous(), clipped, finite
