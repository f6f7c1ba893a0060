"""A step of training as one CUDA graph: its thousand kernels are started by one call, and the host no longer counts."""

from collections.abc import Callable

import torch
from torch import Tensor

WARM = 3  # steps before: kernels are compiled and chosen, and memory is taken


class Replay:
    """Take a step that changes tensors in place and returns nothing; once warm, on a CUDA card, replay what it did.

    A step has the same shapes each time, waits for nothing, and reads nothing that changes but what it is given and
    tensors in place; a call with other shapes is run as it is written. Where a graph cannot be made, every step is.
    """

    def __init__(self, step: Callable[..., None], device: torch.device) -> None:
        self.step, self.device, self.calls = step, device, 0
        self.given: tuple[Tensor, ...] = ()  # what the graph reads
        self.graph: torch.cuda.CUDAGraph | None = None
        self.able = replays(device)
        self.stream = torch.cuda.Stream(device) if self.able else None

    def __call__(self, *given: Tensor) -> None:
        if not self.able or (self.given and any(a.shape != b.shape for a, b in zip(given, self.given, strict=True))):
            self.step(*given)
            return
        if self.calls < WARM:
            self._beside(given)
            return
        if self.graph is None and not self._captured(given):
            self.able, self.given = False, ()
            self.step(*given)
            return
        assert self.graph is not None
        for mine, new in zip(self.given, given, strict=True):
            mine.copy_(new)
        self.graph.replay()

    def _beside(self, given: tuple[Tensor, ...]) -> None:
        """Run a step as it is written, in the stream in which it will be captured."""
        self.given, self.calls = self.given or given, self.calls + 1
        now = torch.cuda.current_stream(self.device)
        assert self.stream is not None
        self.stream.wait_stream(now)
        with torch.cuda.stream(self.stream):
            self.step(*given)
        now.wait_stream(self.stream)

    def _captured(self, given: tuple[Tensor, ...]) -> bool:
        """Record a step without running it, and tell whether that could be done."""
        self.given, graph = tuple(one.clone() for one in given), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.step(*self.given)
        except RuntimeError:  # of a head of a user's own that waits for values, or for want of memory
            return False
        self.graph = graph
        return True


def replays(device: torch.device) -> bool:
    """Tell whether steps can be replayed on a device: a CUDA card. On ROCm it was never tried."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    try:
        with torch.cuda.device(device):
            torch.cuda.CUDAGraph()
    except RuntimeError:
        return False
    return True
