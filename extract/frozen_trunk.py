"""The trunk as it runs: frozen, in one arithmetic, with the copies to and from its device."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch._inductor.config as inductor
from torch import Tensor, nn

from amnet_common.collection.quantise import CODES
from amnet_common.errors import ConfigError
from amnet_common.out_of_memory import is_out_of_memory
from extract.compute import PRECISIONS, Compute
from extract.grid_trunk import build_grid_trunk
from extract.trunk import Trunk, build_trunk, fold_batchnorm, to_bfloat16
from extract.weights import Weights


def measured_trunk(weights: Weights, compute: Compute) -> Trunk:
    """Build the usual trunk as it was measured: BatchNorm folded, in the precision of `compute`, channels last."""
    trunk: Trunk = fold_batchnorm(build_trunk(weights.variant, weights.state))
    dtype = PRECISIONS[compute.precision]
    trunk = to_bfloat16(trunk) if dtype == torch.bfloat16 else trunk.to(dtype)
    return trunk.to(memory_format=torch.channels_last)


class Encoded(NamedTuple):
    """Hold the features of n views as they are stored."""

    features: np.ndarray  # (n, h, w, D) float16, or uint8 codes
    clipped: np.ndarray  # (n,) int64: how many values were above their channel's range
    finite: np.ndarray  # (n,) bool: whether all values are numbers that can be stored

    def result(self) -> "Encoded":
        """Return itself: there is nothing to wait for."""
        return self


class FrozenTrunk:
    """Run the trunk in evaluation and inference mode as `compute` says: the usual one folded and channels last, another
    as it is written.

    Every call runs the same shape, the last batch padded, so that a view's bits do not depend on its neighbours.
    Features become float16, or uint8 codes once `quantise_by` was called; both on the device, so that only what is
    stored crosses the bus.
    """

    def __init__(self, weights: Weights, compute: Compute) -> None:
        usual = weights.trunk.usual
        dtype = PRECISIONS[compute.precision]
        trunk = measured_trunk(weights, compute) if usual else build_grid_trunk(weights.trunk, weights.state, dtype)
        self.trunk = trunk.to(compute.device)
        self.run: Callable[[Tensor], Tensor] = compiled(self.trunk) if compute.compiled else self.trunk
        self.size, self.signed = weights.trunk.size, not usual
        if compute.precision != "float16":  # on a GPU the default is TF32, whose mantissa is no longer than float16's
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        self.compute = compute
        self.back = torch.cuda.Stream(compute.device) if compute.kind == "cuda" else None
        self.scales: Tensor | None = None

    def quantise_by(self, scales: np.ndarray) -> None:
        """Store uint8 codes by these scales, (D,) float32, from now on."""
        self.scales = torch.from_numpy(scales).to(self.compute.device)

    def warm_up(self) -> float:
        """Compile what is compiled at the first batch, and return the seconds that it took.

        Raises ConfigError if that cannot be done; an error that says that memory ran out stays what it is.
        """
        started = time.perf_counter()
        try:
            self(np.zeros((1, self.size, self.size, 3), np.uint8)).result()
        except Exception as error:  # the compiler raises whatever it meets
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().split("\n")[0]
            raise ConfigError(f"--compile: expected a network that compiles, found that it does not here ({reason}); "
                              "--no-compile leaves that out") from error  # fmt: skip
        return time.perf_counter() - started

    def try_batch(self, codes: bool) -> None:
        """Compute two batches of nothing as an extraction does, one under way while the next begins. `codes`: with
        what turning features to uint8 codes takes.
        """
        pixels, kept = np.zeros((1, self.size, self.size, 3), np.uint8), self.scales
        if codes and kept is None:
            self.scales = torch.ones(1, device=self.compute.device)
        try:
            first, second = self(pixels), self(pixels)
            first.result()
            second.result()
        finally:
            self.scales = kept

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> "Encoded | UnderWay":
        """Compute the features of uint8 pixels (n, size, size, 3), n at most the batch size.

        A GPU works on it while the caller goes on; on a CPU it is done when this returns.
        """
        short = self.compute.batch_size - len(pixels)
        padded = np.concatenate([pixels, np.zeros((short, *pixels.shape[1:]), np.uint8)]) if short else pixels
        x = self.run(to_device(padded, self.compute.device))  # (B, h, w, D)
        parts = (
            (_as_float16(x) if self.scales is None else _as_codes(x, self.scales))
            if not self.signed
            else (_signed_as_float16(x) if self.scales is None else _signed_as_codes(x, self.scales))
        )
        under_way = UnderWay(*from_device(parts, self.back), len(pixels))
        return under_way if self.back else under_way.result()


class UnderWay(NamedTuple):
    """Hold a batch on its way back from the device."""

    parts: tuple[Tensor, ...]  # in main memory, whole once `copied` has happened
    copied: torch.cuda.Event | None  # None: they are
    views: int  # n: the rest is padding

    def result(self) -> Encoded:
        """Wait for the device, and return the features."""
        if self.copied is not None:
            self.copied.synchronize()
        return Encoded(*(part.numpy()[: self.views] for part in self.parts))


def to_device(pixels: np.ndarray, device: str) -> Tensor:
    """Copy pixels to a device; to a GPU through pinned memory, so that nobody waits for it."""
    pinned = torch.device(device).type == "cuda"
    batch = torch.from_numpy(pixels)
    return (batch.pin_memory() if pinned else batch).to(device, non_blocking=pinned)


def from_device(parts: tuple[Tensor, ...], back: torch.cuda.Stream | None) -> tuple[tuple[Tensor, ...], Any]:
    """Return copies in main memory, and the event after which they are whole.

    They are made in a stream of their own, so that the GPU begins the next batch meanwhile. `back` None: no GPU, they
    are whole at once, and there is no event.
    """
    if back is None:
        return tuple(part.cpu() for part in parts), None
    back.wait_stream(torch.cuda.current_stream(back.device))
    with torch.cuda.stream(back):
        copies = tuple(part.to("cpu", non_blocking=True) for part in parts)  # torch takes pinned memory for these
    for part in parts:
        part.record_stream(back)  # its memory is in use until then
    return copies, back.record_event()


def compiled(trunk: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compile the trunk with torch.compile, at the first batch.

    ReLU and the sum of a block end up within the convolutions before them, and on a CPU the weights are laid out for
    them once.
    """
    run = torch.compile(trunk, dynamic=False)

    def frozen(pixels: Tensor) -> Tensor:
        with inductor.patch(freezing=True):  # as `options` of torch.compile it comes too late: weights stay inputs
            return run(pixels)

    return frozen


def _as_float16(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    stored = x.half().contiguous()
    top = stored.amax((1, 2, 3))  # features are never negative: infinity and NaN both show in the maximum, (B,)
    return stored, torch.zeros_like(top, dtype=torch.int64), torch.isfinite(top)


def _signed_as_float16(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    stored = x.half().contiguous()
    finite = torch.isfinite(stored).all(3).all(2).all(1)  # (B,)
    return stored, torch.zeros_like(finite, dtype=torch.int64), finite


def _signed_as_codes(x: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `_as_codes`; a value below zero has no code, and is counted as one above the range is."""
    codes, clipped, finite = _as_codes(x, scales)
    return codes, clipped + (x < 0).sum((1, 2, 3)), finite & torch.isfinite(x.amin((1, 2, 3)))


def _as_codes(x: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """amnet_common.collection.quantise.quantise on the device."""
    codes = torch.round(x.float() / scales)  # (B, h, w, D)
    clipped, finite = (codes > CODES).sum((1, 2, 3)), torch.isfinite(codes.amax((1, 2, 3)))
    return codes.clamp(0, CODES).to(torch.uint8).contiguous(), clipped, finite
