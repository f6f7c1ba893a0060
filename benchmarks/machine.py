"""This machine: its name, and what it can do at most, measured: products, copies, the disk."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import PIL
import torch

TILE = 256 * 2**20  # bytes of a copy, and of a file: more than any cache holds
SHAPES = {"cpu": [(12544, 1024, 1024), (2048, 2048, 2048)], "cuda": [(12544, 1024, 1024), (8192, 8192, 8192)]}


def described(device: str) -> dict[str, object]:
    """Processor, card, versions, date."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
        "h5py": h5py.__version__,
        "pillow": PIL.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """Its name, and the units that decide here."""
    name = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if unit in flags]
    return f"{name} ({units[0]})" if units else name


def product_rate(device: str, precision: str) -> float:
    """FLOP/s of the fastest of a few large products: what convolutions and linear layers can reach at most."""
    dtype, rates = getattr(torch, precision), []
    for n, k, m in SHAPES[torch.device(device).type]:
        a, b = torch.randn(n, k, device=device).to(dtype), torch.randn(k, m, device=device).to(dtype)
        rates.append(2 * n * k * m / fastest(lambda a=a, b=b: a @ b, device))
    return max(rates)


def copy_rate(device: str) -> float:
    """Bytes/s copied within the device's memory."""
    a = torch.zeros(TILE, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return TILE / fastest(lambda: b.copy_(a), device)


def to_host_rate(device: str) -> float:
    """Bytes/s from a GPU into pinned memory."""
    a = torch.zeros(TILE, dtype=torch.uint8, device=device)
    b = torch.empty(TILE, dtype=torch.uint8, pin_memory=True)
    return TILE / fastest(lambda: b.copy_(a, non_blocking=True), device)


def disk_write_rate(folder: Path) -> float:
    """Bytes/s of a new file, its sync included."""
    data, rates = os.urandom(TILE // 8), []
    for _ in range(3):
        path = folder / "disk.bin"
        begun = time.perf_counter()
        with open(path, "wb", buffering=0) as file:
            for _ in range(8):
                file.write(data)
            os.fsync(file.fileno())
        rates.append(TILE / (time.perf_counter() - begun))
        path.unlink()
    return max(rates)


def seconds(run: Callable[[], object], device: str = "cpu", least: float = 1.0) -> float:
    """Of one call: the median over at least that long, after a first one."""
    return median(timings(run, device, least))


def fastest(run: Callable[[], object], device: str = "cpu") -> float:
    """Seconds of the fastest of many calls: for limits, which other work on the machine does not lower."""
    return min(timings(run, device, least=2.0))


def timings(run: Callable[[], object], device: str, least: float) -> list[float]:
    """Seconds of call after call, after a first one."""

    def once() -> float:
        begun = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    once()
    found = [once()]
    while sum(found) < least or len(found) < 3:
        found.append(once())
    return found
