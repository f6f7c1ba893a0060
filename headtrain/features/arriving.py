"""Batches on their way to the device that computes with them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

P = TypeVar("P")


def arriving(batches: Iterable[tuple[P, np.ndarray | Tensor]], device: torch.device) -> Iterator[tuple[P, Tensor]]:
    """Yield each batch with its views on `device`.

    To a GPU they are copied in a stream of their own, the next ones while the kernels of the last ones run. Where they
    come from may be filled anew when the next batch is asked for: it is not before the copy is whole.
    """
    if device.type != "cuda":
        for picks, features in batches:
            yield picks, torch.as_tensor(features).to(device)
        return
    under_way: tuple[P, Tensor, torch.cuda.Event] | None = None
    stream = torch.cuda.Stream(device)
    for picks, features in batches:
        stored = torch.as_tensor(features)
        if stored.device.type != "cpu":  # it is there already
            yield picks, stored
            continue
        with torch.cuda.stream(stream):
            there = stored.to(device, non_blocking=True)
            copied = stream.record_event()
        if under_way:
            yield arrived(*under_way)
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
