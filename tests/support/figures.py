"""The figures of a full run of a slow suite."""

import datetime
import os
import platform
from collections.abc import Iterable
from pathlib import Path

import h5py


class Figures:
    """What a full run has counted, as Markdown tables; `report`: the variable that names a file for them."""

    def __init__(self, report: str) -> None:
        self.report = report
        self.tables: dict[str, list[dict[str, object]]] = {}

    def add(self, table: str, **cells: object) -> None:
        """One line of a table; the file is written anew."""
        self.tables.setdefault(table, []).append(cells)
        if os.environ.get(self.report):
            Path(os.environ[self.report]).write_text(self.markdown())

    def markdown(self) -> str:
        lines = [", ".join(machine())]
        for name, rows in self.tables.items():
            heads = list(dict.fromkeys(head for row in rows for head in row))
            lines += [
                "",
                f"**{name}**",
                "",
                _line(head.replace("_", " ") for head in heads),
                _line("---" for _ in heads),
            ]
            lines += [_line(row.get(head, "") for head in heads) for row in rows]
        return "\n".join(lines) + "\n"


def machine() -> list[str]:
    """What the figures are of."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [platform.machine(), f"{os.cpu_count()} cores", f"{memory:.0f} GiB memory",
            f"Linux {platform.release()}", f"Python {platform.python_version()}", f"h5py {h5py.__version__}",
            f"HDF5 {h5py.version.hdf5_version}", f"torch {torch.__version__}", f"{datetime.date.today()}"]  # fmt: skip


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
