"""Batches on their way to the device that computes with them."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

P = TypeVar("P")
QUEUED = 2  # batches whose kernels have not run yet: with more, memory would fill with copies of views


def arriving(batches: Iterable[tuple[P, np.ndarray | Tensor]], device: torch.device) -> Iterator[tuple[P, Tensor]]:
    """Yield each batch with its views on `device`.

    To a GPU they are copied in a stream of their own, the next ones while the kernels of the last ones run. Where they
    come from may be filled anew when the next batch is asked for: it is not before the copy is whole. The host waits
    for copies, and where it is `QUEUED` batches ahead of the kernels for those; never for the last batch's.
    """
    if device.type != "cuda":
        for picks, features in batches:
            yield picks, torch.as_tensor(features).to(device)
        return
    under_way: tuple[P, Tensor, torch.cuda.Event] | None = None
    stream, queued = torch.cuda.Stream(device), deque[torch.cuda.Event]()
    for picks, features in batches:
        stored = torch.as_tensor(features)
        if stored.device.type != "cpu":  # it is there already
            if under_way:
                yield arrived(*under_way)
                under_way = None
            yield picks, stored
            continue
        with torch.cuda.stream(stream):
            there = stored.to(device, non_blocking=True)
            copied = stream.record_event()
        if under_way:
            yield arrived(*under_way)
            queued.append(torch.cuda.current_stream(device).record_event())
        if len(queued) > QUEUED:
            queued.popleft().synchronize()
        copied.synchronize()
        under_way = picks, there, copied
    if under_way:
        yield arrived(*under_way)


def arrived(picks: P, there: Tensor, copied: torch.cuda.Event) -> tuple[P, Tensor]:
    """Return a batch that the stream of the kernels may use from now on."""
    now = torch.cuda.current_stream(there.device)
    now.wait_event(copied)
    there.record_stream(now)
    return picks, there
