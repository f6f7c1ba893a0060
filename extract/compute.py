"""On what, and in what arithmetic, the trunk runs: decided once for the whole job, then held in one place."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import PIL
import torch
import torchvision

from amnet_common.devices import choose_device
from amnet_common.errors import ConfigError
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


def choose_compute(device: str, precision: str, batch_size: int | None) -> Compute:
    """`auto` resolved. Raises ConfigError for a device that is not there or a batch below 1."""
    device = choose_device(device)
    kind = torch.device(device).type
    batch = batch_size if batch_size is not None else (CPU_BATCH if kind == "cpu" else GPU_BATCH)
    if batch < 1:
        raise ConfigError(f"--batch-size: wanted 1 or more, found {batch}")
    precision = _fastest_precision(kind) if precision == "auto" else precision
    return Compute(device, precision, batch, torch.get_num_threads())


def _fastest_precision(kind: str) -> str:
    """Half precision where the hardware multiplies it faster; a CPU that only emulates bfloat16 is slower with it."""
    if kind == "cpu":
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
    return "float16"


def default_workers(kind: str) -> int:
    """Decoding threads: beside a CPU trunk a few are plenty, a GPU wants all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 4) if kind == "cpu" else min(cores, 32)


class FrozenTrunk:
    """The trunk in evaluation and inference mode, BatchNorm folded, in the arithmetic of `compute`.

    Every call runs the same shape, the last batch padded, so that a view's bits do not depend on its neighbours.
    """

    def __init__(self, weights: Weights, compute: Compute) -> None:
        trunk: Trunk = fold_batchnorm(build_trunk(weights.variant, weights.state))
        dtype = PRECISIONS[compute.precision]
        self.trunk = trunk.to(compute.device, dtype).to(memory_format=torch.channels_last)
        self.compute = compute

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (n, 224, 224, 3), n at most the batch size -> float16 (n, 14, 14, 1024)."""
        short = self.compute.batch_size - len(pixels)
        padded = np.concatenate([pixels, np.zeros((short, *pixels.shape[1:]), np.uint8)]) if short else pixels
        with torch.inference_mode():
            features = self.trunk(torch.from_numpy(padded).to(self.compute.device))  # (B, 14, 14, 1024)
            return features.half().contiguous().cpu().numpy()[: len(pixels)]
