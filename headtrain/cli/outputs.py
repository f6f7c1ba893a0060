"""Where a command writes: never over what it reads, nor over a file of another kind; over one of its own if told to."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from amnet_common.errors import ConfigError, ExistsError, OutputError
from amnet_common.only_writer import only_writer

HEAD = 4096  # bytes of a file that tell its kind
TAIL = 65536  # of a PDF, whose table of objects may be long


@dataclass(frozen=True)
class Kind:
    """Describe a kind of file that commands write."""

    name: str  # in messages
    endings: tuple[str, ...]  # empty: any
    is_one: Callable[[Path], bool]  # whether such a command wrote the file that is there
    also: tuple[str, ...] = ()  # endings that came later


def overwrite_option(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """Add --overwrite to a command."""
    return click.option("--overwrite", is_flag=True, help="Replace an older file of the same kind.")(command)


@contextmanager
def writing(option: str, out: Path, kind: Kind, overwrite: bool, inputs: Sequence[Path] = ()) -> Iterator[None]:
    """Be the only command that writes the file `out`, which is asked for by `option`.

    Raises ConfigError and OutputError as `refuse_output`, ExistsError for a file that is there without `overwrite`,
    OutputError for one of another kind with it, BusyError while another command writes it.
    """
    refuse_output(option, out, kind.endings, inputs, kind.also)
    with only_writer(out, option):
        refuse_replacing(option, out, kind, overwrite)
        yield


@contextmanager
def drawing(option: str, out: Path | None, overwrite: bool, inputs: Sequence[Path] = ()) -> Iterator[None]:
    """Be the only command that writes the picture `out`, if one is asked for by `option`.

    Raises as `writing`, and ExtraError without matplotlib, before anything is done.
    """
    if out is None:
        yield
        return
    from headtrain.figures.pictures import refuse_without_matplotlib

    with writing(option, out, PICTURE, overwrite, inputs):
        refuse_without_matplotlib()
        yield


def refuse_output(
    option: str, out: Path, endings: Sequence[str] = (), inputs: Sequence[Path] = (), also: Sequence[str] = ()
) -> None:
    """Raise OutputError or ConfigError for a file that cannot be written, has another ending, or is one of `inputs`."""
    if endings and out.suffix.lower() not in (*endings, *also):
        more = f"; {' or '.join(also)} serves as well" if also else ""
        raise ConfigError(
            f"{option} {out}: expected a file ending in {' or '.join(endings)}, found {out.suffix or 'none'}{more}"
        )
    if out.is_dir():
        raise OutputError(f"{option} {out}: expected a file, found a folder")
    if not out.parent.is_dir():
        raise OutputError(f"{option} {out}: expected an existing folder, found no {out.parent}")
    if any(out.exists() and read.exists() and out.samefile(read) for read in inputs):
        raise ConfigError(f"{option} {out}: expected another file than those that are read, found one of them")


def refuse_replacing(option: str, out: Path, kind: Kind, overwrite: bool) -> None:
    """Raise ExistsError for a file that is there without `overwrite`, OutputError for one of another kind with it."""
    if not out.exists():
        return
    if not overwrite:
        raise ExistsError(f"{option} {out}: expected a new file, found one that exists; --overwrite replaces "
                          f"{kind.name}")  # fmt: skip
    if not kind.is_one(out):
        raise OutputError(f"{option} {out}: expected {kind.name} to replace, found another file; remove it yourself")


def _is_picture(path: Path) -> bool:
    head = _head(path)
    if head.startswith(b"%PDF-"):
        return b"/Creator (Matplotlib " in head + _tail(path)  # where it stands depends on how large the file is
    return head.startswith((b"\x89PNG", b"<?xml")) and b"matplotlib" in head.lower()


def _is_page(path: Path) -> bool:
    head = _head(path).lower()
    return head.startswith(b"<!doctype html>") and b"script-src 'sha256-" in head


def _is_maps(path: Path) -> bool:
    import numpy as np

    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else ((), False, None)
    except (OSError, ValueError):
        return False
    return len(shape) == 4 and dtype == np.float32  # (n, T, h, w)


def _is_table(path: Path) -> bool:
    from headtrain.scoring.formats import is_table

    return is_table(path)


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD)


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return file.read(TAIL)


def _is_predictions(path: Path) -> bool:
    from headtrain.evaluation.predictions import HEADER

    with open(path, "rb") as file:
        return file.readline(HEAD).strip() == ",".join(HEADER).encode()


PICTURE = Kind("a picture that amnet drew", (".png", ".svg"), _is_picture, (".pdf",))
PAGE = Kind("a page of amnet-head report", (".html", ".htm"), _is_page)
MAPS = Kind("maps of amnet-head attend", (".npy",), _is_maps)
TABLE = Kind("a table of amnet-head score", (), _is_table)
PREDICTIONS = Kind("predictions of amnet-head test", (".csv",), _is_predictions)
