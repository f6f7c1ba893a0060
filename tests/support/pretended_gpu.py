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
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
DEVICE, IS_CUDA = Tensor.device.__get__, Tensor.is_cuda.__get__
PACKAGES = ("/headtrain/", "/extract/", "/amnet_common/")
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
COPIES = (aten.copy_.default, aten.copy.default)
TENSORS_ALONE = ("stack", "cat", "mm", "linear", "convolution", "batch_norm", "embedding", "index_select")
SIZE_OF_VALUES = (aten.nonzero.default, aten.masked_select.default, aten.unique_dim.default, aten._unique2.default)
NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
NO_MEMORY = ("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 7.78 GiB of which 1.02 "
             "GiB is free. If reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF.")  # fmt: skip


def tensors(values: object) -> list[Tensor]:
    """All tensors within arguments or results, but those without memory."""
    return [one for one in tree_leaves(values) if isinstance(one, Tensor) and DEVICE(one).type != "meta"]


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
        return found


class Event:
    """What has been copied before it is whole once it was waited for."""

    def __init__(self, gpu: "PretendedGpu") -> None:
        self.gpu, self.copies = gpu, []

    def record(self, stream: Stream | None = None) -> None:
        (stream or self.gpu.stream()).record_event(self)

    def query(self) -> bool:
        return not self.copies

    def synchronize(self) -> None:
        for fill in self.copies:
            fill()
        self.copies = []
        self.gpu.look_for_races()  # such a wait is meant, and not counted


class PretendedGpu:
    """One or several cards, `name` that of the one that is meant to be used.

    `waits`: lines at which the host waited. `races`: lines whose copy read what was overwritten. `opened`: what was
    opened on each card. `largest`: bytes of the largest tensor that memory has room for; `operations`: after so many
    there is no room for any (None: there always is).
    """

    def __init__(self, name: str = "cuda:0", cards: int = 2) -> None:
        self.kind, self.cards = name.partition(":")[0], cards
        self.waits: Counter[str] = Counter()
        self.opened: Counter[tuple[str, str]] = Counter()
        self.races: list[str] = []
        self.largest: int | None = None
        self.operations: int | None = None
        self.labels, self.scalars = Storages(), Storages()  # scalars: made of Python numbers, welcome on any device
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
        self.look_for_races()

    def look_for_races(self) -> None:
        self.races += [line for source, checksum, line in self.pending if zlib.crc32(source) != checksum]
        self.pending.clear()

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
        if self.operations is not None:
            self.operations -= 1
        full = self.operations is not None and self.operations < 0
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

        def generator(device: object = "cpu") -> torch.Generator:
            made = real_generator("cpu")
            gpu.generators[id(made)] = made, gpu.device(device) or "cpu"
            return made

        class Autocast(real_autocast):
            def __init__(self, device_type: str, *args: Any, **named: Any) -> None:
                super().__init__("cpu" if device_type == gpu.kind else device_type, *args, **named)

        yield torch, "Generator", generator
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


def place_asked(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[object, tuple[Any, ...], dict[str, Any]]:
    """The device that a call of Tensor.to asks for (None: none), and the arguments without it and without positional
    flags; a tensor to be like stands for its device and its dtype."""
    flags = [one for one in args[1:] if isinstance(one, bool)]
    named = {**named, **dict(zip(("non_blocking", "copy"), flags, strict=False))}
    args = tuple(one for one in args if one is not None and not isinstance(one, bool))
    for i, one in enumerate(args[1:], 1):
        if isinstance(one, Tensor):
            return one.device, (*args[:i], *args[i + 1 :]), {"dtype": one.dtype, **named}
        if isinstance(one, torch.device | str | int):
            return one, (*args[:i], *args[i + 1 :]), named
    return named.pop("device", None), args, named


class Function(TorchFunctionMode):
    """Sees what is asked for by name: devices, generators, pinned memory, copies."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: PLR0911 - a table
        gpu, named = self.gpu, dict(kwargs or {})
        first = args[0] if args else None
        on = gpu.labels.of(first) if isinstance(first, Tensor) else None
        if named.get("generator") is not None:
            self.refuse_other_generator(named, on)
        if func == DEVICE:
            return torch.device(on) if on else func(*args)
        if func == IS_CUDA:
            return bool(on) and gpu.kind == "cuda"
        if func is Tensor.is_pinned:
            return gpu.is_pinned(first)
        if func is Tensor.pin_memory:
            return gpu.pin(first.clone())
        if func in (Tensor.numpy, Tensor.__array__) and on:
            raise TypeError(f"can't convert {on} device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.__deepcopy__ and on:
            with contextlib.ExitStack() as kept:
                kept.callback(setattr, gpu, "waits", gpu.waits.copy())
                return gpu.mark(func(*args, **named), on)
        if func is Tensor.tolist and on:
            gpu.wait()
        if func is Tensor.new_tensor and on:
            gpu.wait()
            return gpu.mark(func(*args, **named), on)
        if func in (Tensor.cpu, Tensor.cuda, Tensor.to):
            asked, args, named = place_asked(args, named) if func is Tensor.to else (
                "cpu" if func is Tensor.cpu else gpu.kind, args[:1], named)  # fmt: skip
            if asked is not None and str(asked) != "meta":
                return self.moved(first, on, asked, args, named)
            named |= {} if asked is None else {"device": asked}
        return self.made(func, args, named)

    def refuse_other_generator(self, named: dict[str, Any], on: str | None) -> None:
        wanted = on or self.gpu.device(named.get("device")) or "cpu"
        found = self.gpu.generators.get(id(named["generator"]), (None, "cpu"))[1]
        if wanted != found:
            raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{found}'")

    def moved(self, tensor: Tensor, on: str | None, asked: object, args: Any, named: dict[str, Any]) -> Tensor:
        gpu, unwaited, there = self.gpu, named.pop("non_blocking", False), self.gpu.device(asked)
        if there is None and str(asked).split(":")[0] != "cpu":
            raise RuntimeError(f"no such device: {asked}")
        out = Tensor.to(tensor, *args[1:], **named) if len(args) > 1 or named else tensor
        if there == on:
            return out
        if there and gpu.kind == "mps" and out.dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        copy = out.clone()
        if there:
            gpu.opens(there, "a tensor")
            gpu.to_card(tensor, unwaited)
            return gpu.mark(copy, there)
        gpu.labels.drop(copy)
        gpu.to_host(copy, str(on), unwaited)
        return copy

    def made(self, func: Any, args: Any, named: dict[str, Any]) -> Any:
        """Whatever else, and with `device=` or `pin_memory=` a new tensor."""
        gpu, there = self.gpu, self.gpu.device(named.get("device"))
        if named.pop("pin_memory", False):
            return gpu.pin(func(*args, **named))
        if there is None:
            return func(*args, **named)
        if gpu.kind == "mps" and named.get("dtype") == torch.float64:
            raise TypeError(NO_FLOAT64)
        gpu.opens(there, "a tensor")
        if func in (torch.tensor, torch.as_tensor):
            gpu.wait()
        return gpu.mark(func(*args, **{**named, "device": "cpu"}), there)


class Dispatch(TorchDispatchMode):
    """Sees every operator: what it mixes, what it waits for, and where its results are."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self.gpu, kwargs or {}
        given = tensors((args, kwargs))
        places = {place for one in given if (place := gpu.labels.of(one))}
        if not places:
            out = func(*args, **kwargs)
            if not given:
                for one in tensors(out):
                    gpu.scalars.put(one)
            return out
        here = [one for one in given if gpu.labels.of(one) is None and gpu.scalars.of(one) is None]
        if func in COPIES and (here or len(places) > 1):
            self.copy(args, kwargs)
            return func(*args, **kwargs)
        if func in INDEXING and gpu.labels.of(args[0]):
            for one in here:
                gpu.to_card(one, unwaited=False)
        elif (
            len(places) > 1
            or not all(one.dim() == 0 for one in here)
            or (here and any(name in func.__name__ for name in TENSORS_ALONE))
        ):
            found = ", ".join(sorted(places | ({"cpu"} if here else set())))
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {found}! ({func})")
        if func is aten._local_scalar_dense.default or func in SIZE_OF_VALUES:
            gpu.wait()
        if gpu.kind == "mps" and kwargs.get("dtype") == torch.float64:
            raise TypeError(NO_FLOAT64)
        out = func(*args, **kwargs)
        gpu.take_memory(tensors(out))
        return gpu.mark(out, places.pop())

    def copy(self, args: Any, kwargs: Any) -> None:
        """copy_ between a card and main memory."""
        into, source = args[:2]
        unwaited = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if self.gpu.labels.of(into):
            self.gpu.to_card(source, unwaited)
        else:
            self.gpu.wait()
