"""A pretended GPU on a machine that has none: every tensor is one of the CPU, but its storage is labelled.

`with PretendedGpu("cuda:1") as gpu:` - `.to("cuda:1")`, `device=`, generators, streams, events and pinned memory work,
by the rules of a real one: mixed operands raise, a device tensor has no `.numpy()`, a generator must be of the device,
what is copied into main memory is garbage until its event, a pinned buffer that is written to before the copy from it
was waited for is a race, MPS has no float64. All that makes the host wait is counted by the line that asked for it, and
all that opens a card by the card. The values are real: results can be compared bit for bit with those of the CPU.

Not seen: kernels (cuDNN, Triton), how much memory there is, autocast's lists for a GPU (the CPU's are used), speed.
"""

import contextlib
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # before torch.Generator is replaced
from pretended_modes import Dispatch, Function, tensors
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

PACKAGES = ("/headtrain/", "/extract/", "/amnet_common/")
NO_MEMORY = ("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 7.78 GiB of which 1.02 "
             "GiB is free. If reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF.")  # fmt: skip


def line_of_project() -> str:
    """file:line of the nearest frame of the packages."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "site-packages" not in name and "/tests/" not in name and any(part in name for part in PACKAGES):
            return f"{Path(name).parent.name}/{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


class Storages:
    """Something said of storages, forgotten when they are gone."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[StorageWeakRef, str]] = {}

    def put(self, tensor: Tensor, value: str = "") -> None:
        storage = tensor.untyped_storage()
        self.known[storage._cdata] = StorageWeakRef(storage), value

    def drop(self, tensor: Tensor) -> None:
        self.known.pop(tensor.untyped_storage()._cdata, None)

    def of(self, tensor: Tensor) -> str | None:
        try:
            found = self.known.get(tensor.untyped_storage()._cdata)
        except (NotImplementedError, RuntimeError):  # a tensor without a storage
            return None
        return found[1] if found and not found[0].expired() else None


class Stream:
    """Notes the copies that have been begun; an event of it ends them."""

    def __init__(self, gpu: "PretendedGpu", device: object = None) -> None:
        self.gpu, self.device, self.copies = gpu, torch.device(gpu.opens(device, "a stream")), []

    def wait_stream(self, other: "Stream") -> None: ...

    def wait_event(self, event: "Event") -> None: ...

    def synchronize(self) -> None:
        self.record_event().synchronize()

    def record_event(self, event: "Event | None" = None) -> "Event":
        found = event or Event(self.gpu)
        found.copies, self.copies = self.copies, []
        found.sources = list(self.gpu.pending)
        return found


class Event:
    """What has been copied before it is whole once it was waited for."""

    def __init__(self, gpu: "PretendedGpu") -> None:
        self.gpu, self.copies, self.sources = gpu, [], []

    def record(self, stream: Stream | None = None) -> None:
        (stream or self.gpu.stream()).record_event(self)

    def query(self) -> bool:
        return not self.copies

    def synchronize(self) -> None:
        for fill in self.copies:
            fill()
        self.copies = []
        self.gpu.events[line_of_project()] += 1
        self.gpu.look_for_races(self.sources)


class PretendedGpu:
    """One or several cards, `name` that of the one that is meant to be used.

    `waits`: lines at which the host waited for all that was under way; `events`: for an event, which is meant. `races`:
    lines whose copy read what was overwritten. `opened`: what was opened on each card. `largest`: bytes of the largest
    tensor that memory has room for; `last`: the number of the operator, of those that `ran`, after which there is no
    room for any (None: there always is).
    """

    def __init__(self, name: str = "cuda:0", cards: int = 2) -> None:
        self.kind, self.cards = name.partition(":")[0], cards
        self.waits: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.opened: Counter[tuple[str, str]] = Counter()
        self.races: list[str] = []
        self.largest: int | None = None
        self.last: int | None = None
        self.ran = 0
        self.labels, self.scalars = (
            Storages(),
            Storages(),
        )  # scalars: what torch makes for itself, welcome on any device
        self.pinned: list[tuple[int, int, StorageWeakRef]] = []
        self.pending: list[tuple[np.ndarray, int, str]] = []  # bytes under way to the device, their checksum, the line
        self.generators: dict[int, tuple[object, str]] = {}
        self.card, self.entered = 0, None
        self.streams: dict[str, Stream] = {}

    def device(self, asked: object) -> str | None:
        """The card that a device is; None if it is no card."""
        if isinstance(asked, int):
            return f"{self.kind}:{asked}"
        kind, _, index = str(asked).partition(":")
        return f"{kind}:{index or self.card}" if kind == self.kind else None

    def opens(self, device: object, what: str) -> str:
        """Note that something makes a context on a card, the current one if none is named."""
        found = self.device(self.kind if device is None else device) or f"{self.kind}:{self.card}"
        if int(found.split(":")[1]) >= self.cards:
            raise RuntimeError("CUDA error: invalid device ordinal\nGPU kernel errors might be reported later")
        self.opened[found, what] += 1
        return found

    def stream(self, device: object = None) -> Stream:
        """The stream that is current."""
        found = self.device(device) or f"{self.kind}:{self.card}"
        return self.entered or self.streams.setdefault(found, Stream(self, found))

    def mark(self, values: object, device: str) -> Any:
        """Label tensors as those of a card."""
        for one in tensors(values):
            self.labels.put(one, device)
            self.scalars.drop(one)
        return values

    def pin(self, tensor: Tensor) -> Tensor:
        """Make memory pinned; the current card is opened for it if none has been."""
        if not self.opened:
            self.opens(None, "pinned memory")
        storage = tensor.untyped_storage()
        self.pinned.append((storage.data_ptr(), storage.data_ptr() + storage.nbytes(), StorageWeakRef(storage)))
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        at = tensor.data_ptr()
        return any(start <= at < stop and not ref.expired() for start, stop, ref in self.pinned)

    def wait(self) -> None:
        """Count a wait of the host, after which nothing is under way."""
        self.waits[line_of_project()] += 1
        self.look_for_races(self.pending)

    def look_for_races(self, ended: list[tuple[np.ndarray, int, str]]) -> None:
        """Look whether the sources of copies that have ended are still what they were."""
        done = [one for one in self.pending if any(one is other for other in ended)]
        self.races += [line for source, checksum, line in done if zlib.crc32(source) != checksum]
        self.pending = [one for one in self.pending if not any(one is other for other in done)]

    def to_card(self, source: Tensor, unwaited: bool) -> None:
        """Note a copy to a card; from pinned memory it may go on while the host does."""
        if unwaited and self.is_pinned(source) and source.numel():
            data = source.detach().contiguous().view(torch.uint8).numpy()
            self.pending.append((data, zlib.crc32(data), line_of_project()))
        else:
            self.wait()

    def to_host(self, copy: Tensor, device: str, unwaited: bool) -> None:
        """Note a copy from a card; unless it is waited for it is garbage until an event of its stream."""
        if not unwaited:
            return self.wait()
        true = copy.detach().clone()
        copy.detach().fill_(1)
        self.pin(copy)
        return self.stream(device).copies.append(lambda: np.copyto(copy.detach().numpy(), true.numpy()))

    def take_memory(self, results: list[Tensor]) -> None:
        """Raise torch's error where there is no room for results."""
        self.ran += 1
        full = self.last is not None and self.ran > self.last
        if full or any(self.largest is not None and one.untyped_storage().nbytes() > self.largest for one in results):
            raise torch.OutOfMemoryError(NO_MEMORY)

    def __enter__(self) -> "PretendedGpu":
        self.stack = contextlib.ExitStack()
        for target, name, value in self.patches():
            before = getattr(target, name)
            setattr(target, name, value)
            self.stack.callback(setattr, target, name, before)
        self.stack.enter_context(Dispatch(self))
        self.stack.enter_context(Function(self))
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def patches(self) -> Iterator[tuple[Any, str, Any]]:
        """What torch has no hook for: (where, name, what stands there meanwhile)."""
        gpu, real_generator, real_autocast = self, torch.Generator, torch.autocast

        class Generator(real_generator):  # a class, as others say `Generator | None`
            def __new__(cls, device: object = "cpu") -> torch.Generator:
                made = real_generator("cpu")
                gpu.generators[id(made)] = made, gpu.device(device) or "cpu"
                return made

        class Autocast(real_autocast):
            def __init__(self, device_type: str, *args: Any, **named: Any) -> None:
                super().__init__("cpu" if device_type == gpu.kind else device_type, *args, **named)

        yield torch, "Generator", Generator
        yield torch, "autocast", Autocast
        yield Tensor, "record_stream", lambda *_: None
        yield torch.backends.cudnn, "is_acceptable", lambda _: False  # RNNs lay out their weights for cuDNN
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(torch.optim.Optimizer, name):
                yield torch.optim.Optimizer, name, lambda *_: None
        if self.kind == "cuda":
            yield from ((torch.cuda, name, value) for name, value in self.of_cuda().items())

    def of_cuda(self) -> dict[str, Callable[..., Any]]:
        """The functions of torch.cuda."""

        @contextlib.contextmanager
        def device(asked: object) -> Iterator[None]:
            before, self.card = self.card, int(self.opens(asked, "being current").split(":")[1])
            yield
            self.card = before

        @contextlib.contextmanager
        def stream(entered: Stream) -> Iterator[None]:
            before, self.entered = self.entered, entered
            yield
            self.entered = before

        def opening(what: str, answer: object) -> Callable[..., object]:
            return lambda device=None, **_: (self.opens(device, what), answer)[1]

        return {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_initialized": lambda: bool(self.opened),
            "device_count": lambda: self.cards,
            "current_device": lambda: self.card,
            "is_current_stream_capturing": lambda: False,
            "get_device_name": opening("its name", "Pretended"),
            "is_bf16_supported": opening("its units", True),
            "mem_get_info": opening("its memory", (70 * 10**9, 80 * 10**9)),
            "empty_cache": lambda: self.opens(None, "its cache") and None,
            "synchronize": lambda device=None: (self.opens(device, "a wait"), self.wait())[1],
            "Stream": lambda device=None, **_: Stream(self, device),
            "Event": lambda **_: Event(self),
            "current_stream": self.stream,
            "stream": stream,
            "device": device,
        }
