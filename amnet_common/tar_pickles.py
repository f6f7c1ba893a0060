"""Checkpoints as torch before 0.1.10 wrote them: a tar archive of storages, tensors, and a pickle that refers to them.

torch reads them only where their pickles may run code; here these may make numbers, texts, dictionaries, lists and the
tensors of the archive, and nothing else.
"""

import pickle
import struct
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

KINDS = {"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "Long": torch.int64,
         "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8}  # fmt: skip


def read_tar(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    """Read a checkpoint of this format, every tensor on the CPU. Raises whatever its reading meets on strange bytes."""
    with tarfile.open(path, "r:") as archive:
        with _member(archive, "storages") as file:
            storages = _storages(file)
        with _member(archive, "tensors") as file:
            tensors = _tensors(file, storages)
        with _member(archive, "pickle") as file:
            return Unpickler(file, tensors).load()


class Unpickler(pickle._Unpickler):  # the one in Python: C's takes gigabytes for one opcode
    """Read a pickle that may name storage and tensor types, ordered dictionaries, and the given tensors."""

    def __init__(self, file: IO[bytes], tensors: dict[int, Tensor] | None = None) -> None:
        super().__init__(file, encoding="utf-8")
        self._tensors = tensors or {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a class or a dtype
        """Return the dtype of a storage or tensor type. Raises UnpicklingError for what may not be named."""
        kind = name.removesuffix("Storage").removesuffix("Tensor")
        if module in ("torch", "torch.cuda", "torch.tensor", "torch.storage") and kind in KINDS:
            return KINDS[kind]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}, which a checkpoint has no use for")

    def persistent_load(self, pid: Any) -> Tensor:  # noqa: ANN401 - whatever stands there
        """Return the tensor of a number."""
        return self._tensors[int(pid)]


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.getmember(name)
    file = archive.extractfile(member)
    if file is None or not member.isreg() or member.issparse():  # holes read as zeros, of whatever length they claim
        raise ValueError(f"no plain file {name} in a tar archive")
    return file


def _storages(file: IO[bytes]) -> dict[int, Tensor]:
    """Each storage as a tensor (n,), by its number; views of one are parts of it."""
    found = {}
    for _ in range(Unpickler(file).load()):
        key, _, dtype = Unpickler(file).load()
        (count,) = struct.unpack("<q", file.read(8))
        data = file.read(count * dtype.itemsize)
        found[int(key)] = torch.frombuffer(bytearray(data), dtype=dtype, count=count)
    for key, root, offset, count in Unpickler(file).load():
        found[int(key)] = found[int(root)].narrow(0, offset, count)
    return found


def _tensors(file: IO[bytes], storages: dict[int, Tensor]) -> dict[int, Tensor]:
    """Each tensor by its number: shape, strides and offset in a storage, which torch holds them to."""
    found = {}
    for _ in range(Unpickler(file).load()):
        key, storage, _ = Unpickler(file).load()
        (axes, _) = struct.unpack("<ii", file.read(8))
        numbers = struct.unpack(f"<{2 * axes + 1}q", file.read(16 * axes + 8))
        shape, strides, offset = numbers[:axes], numbers[axes:-1], numbers[-1]
        view = storages[int(storage)]
        found[int(key)] = view.as_strided(shape, strides, view.storage_offset() + offset)
    return found
