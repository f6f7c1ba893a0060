"""Tensor files that anyone may have written, torch pickles and safetensors: no code of theirs is run, and sizes are
checked before memory is taken.

Imports torch, which takes seconds: nothing that `--help` needs may import this module at its top.
"""

import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from amnet_common.tar_pickles import read_tar

MEMORY_SHARE = 0.5  # of the machine's, that a file may take
EXPANSION = 4  # times a file's size that its tensors may take, of which some may share their memory
SMALL = 1_000_000  # bytes that they may take in any case
MOST_HEADER = 10_000_000  # bytes of a safetensors header: a hundred a tensor
REASON = "WeightsUnpickler error: "
ZIP = b"PK\x03\x04"


def read_pickle(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    """Read what torch.save wrote in any of its formats, with `weights_only=True` and every tensor on the CPU.

    The tensors of a zip archive are the file's own pages: copy what is kept. Raises ValueError in one line.
    """
    with _one_line(), warnings.catch_warnings(action="ignore"):  # of odd protocols: the error says enough
        size = _size_of(path)
        packed = _first_bytes(path, len(ZIP)) == ZIP
        if packed:
            _refuse_packed(path, size)
        elif tarfile.is_tarfile(path):
            _refuse_expanded(content := read_tar(path), size)
            return content
        _refuse_expanded(torch.load(path, map_location="meta", weights_only=True), size)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
        _refuse_expanded(content, size)
    return content


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors by name, on the CPU, and the metadata of a safetensors file. Raises ValueError in one line."""
    with _one_line():
        metadata = read_metadata(path)
        return safetensors.torch.load_file(path), metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file. Raises ValueError in one line."""
    with _one_line():
        most = min(_size_of(path) - 8, MOST_HEADER)
        if (header := int.from_bytes(_first_bytes(path, 8), "little")) > most:
            raise ValueError(f"a header of {header} bytes where at most {most} can be")
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}


def tensors_in(content: object) -> Iterator[Tensor]:
    """Yield every tensor in dictionaries, lists and tuples in each other, once for each place where it stands."""
    left, seen = [content], set()
    while left:
        one = left.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Mapping | list | tuple) and id(one) not in seen:
            seen.add(id(one))  # a pickle may hold a list that holds itself
            left.extend(one.values() if isinstance(one, Mapping) else one)


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn what a strange file raises into a ValueError of one line."""
    try:
        yield
    except Exception as error:  # torch's unpickler raises whatever it meets, IndexError too
        text = str((error.strerror if isinstance(error, OSError) else None) or error)
        text = text.partition(REASON)[2] or text  # without torch's advice to let the file run code
        raise ValueError(text.partition("\n")[0][:300] or type(error).__name__) from error


def _size_of(path: Path) -> int:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    most = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if found.st_size > most:
        raise ValueError(f"{found.st_size / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of this machine's memory")
    return found.st_size


def _first_bytes(path: Path, count: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(count)


def _refuse_packed(path: Path, size: int) -> None:
    """ValueError unless every member of a zip archive is whole, and stored as torch.save does it: none grows."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("a zip archive with compressed members, which torch.save does not write")
        if (needed := sum(one.file_size for one in members)) > size:
            raise ValueError(f"a zip archive that says {needed} bytes stand in its {size}")
        if damaged := archive.testzip():
            raise ValueError(f"a zip archive whose member {damaged!r} has another checksum")


def _refuse_expanded(content: object, size: int) -> None:
    """ValueError if tensors take far more memory than their file: strides of 0, or views of one memory."""
    needed = 0
    for tensor in tensors_in(content):
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise ValueError(f"a tensor that is not dense ({tensor.layout}, {tensor.dtype})")
        needed += tensor.numel() * tensor.element_size()
    if needed > max(EXPANSION * size, SMALL):
        raise ValueError(f"tensors of {needed} bytes in a file of {size}")
