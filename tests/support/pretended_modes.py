"""How torch is made to believe in a pretended GPU: one mode sees what is called by name, the other every operator."""

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from pretended_gpu import PretendedGpu

aten = torch.ops.aten
DEVICE, IS_CUDA = Tensor.device.__get__, Tensor.is_cuda.__get__
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
COPIES = (aten.copy_.default, aten.copy.default)
TENSORS_ALONE = ("stack", "cat", "mm", "linear", "convolution", "batch_norm", "embedding", "index_select")
SIZE_OF_VALUES = (aten.nonzero.default, aten.masked_select.default, aten.unique_dim.default, aten._unique2.default)
FACTORIES = (torch.tensor, torch.as_tensor, torch.from_numpy, torch.empty, torch.zeros, torch.ones, torch.full,
             torch.arange, torch.linspace, torch.eye, torch.rand, torch.randn)  # fmt: skip
NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"


def tensors(values: object) -> list[Tensor]:
    """All tensors within arguments or results, but those without values."""
    return [one for one in tree_leaves(values) if has_values(one)]


def has_values(one: object) -> bool:
    return isinstance(one, Tensor) and not isinstance(one, FakeTensor) and DEVICE(one).type != "meta"


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

    def __init__(self, gpu: "PretendedGpu") -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: PLR0911 - a table
        gpu, named = self.gpu, dict(kwargs or {})
        first = args[0] if args else None
        on = gpu.labels.of(first) if has_values(first) else None
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
            out = func(*args, **named)
            for one in tensors(out) if func in FACTORIES else ():
                self.gpu.scalars.drop(one)
            return out
        if gpu.kind == "mps" and named.get("dtype") == torch.float64:
            raise TypeError(NO_FLOAT64)
        gpu.opens(there, "a tensor")
        if func in (torch.tensor, torch.as_tensor):
            gpu.wait()
        return gpu.mark(func(*args, **{**named, "device": "cpu"}), there)


class Dispatch(TorchDispatchMode):
    """Sees every operator: what it mixes, what it waits for, and where its results are."""

    def __init__(self, gpu: "PretendedGpu") -> None:
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
