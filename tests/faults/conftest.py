"""Real extractions as processes, their comparison with an undisturbed one, and the figures of a full run."""

import functools
import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from figures import Figures
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, PENDING

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("amnet-extract")
SETTINGS = ("--weights", "untrained", "--precision", "float32", "--augs", "2", "--batch-size", "4")
BROKEN = 5  # every so many-th picture cannot be decoded
PATIENCE = 600  # seconds that one process may take on a busy machine before it counts as hanging
STARTED: list[subprocess.Popen[bytes]] = []  # extractions of the test that runs


@dataclass(frozen=True)
class Extraction:
    """One amnet-extract command line, to be run again and again."""

    root: Path  # images and labels.csv
    out: Path
    options: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  # of launcher.py; none: the console script as it is

    @property
    def log(self) -> Path:
        """What the last process of this very command line has printed."""
        return self.out.with_name(f"{self.out.name}{''.join(self.options).replace('/', '-')}.log")

    def start(self) -> subprocess.Popen[bytes]:
        launch = [sys.executable, HERE / "launcher.py", *self.changes, "--"] if self.changes else [COMMAND]
        data = ["--dataset", "csv", "--root", self.root, "--labels", self.root / "labels.csv", "--out", self.out]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with open(self.log, "wb") as log:
            command = [*launch, *data, *SETTINGS, *self.options]
            STARTED.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        return STARTED[-1]

    def finish(self, statuses: tuple[int, ...] = (0, 1)) -> str:
        """Run to the end; what it printed. Status 1: some images failed."""
        return self.ended(self.start(), statuses)

    def ended(self, process: subprocess.Popen[bytes], statuses: tuple[int, ...] = (0, 1)) -> str:
        """Wait for the end of `process`."""
        with process:
            status = process.wait(PATIENCE)
        text = self.log.read_text()
        assert status in statuses, (status, text)
        assert "Traceback" not in text, text
        return text


@dataclass(frozen=True)
class Undisturbed:
    """An extraction that nobody touched, and how long it took: the measure for the instants of faults."""

    extraction: Extraction
    spoke: float  # seconds until it printed its first line: torch is loaded, the file is there
    total: float  # seconds

    @property
    def out(self) -> Path:
        return self.extraction.out

    @property
    def rows(self) -> int:
        return len(Collection(self.out))


def until(what: Callable[[], object], process: subprocess.Popen[bytes], interval: float = 0.0005) -> bool:
    """Wait for `what`; False if the process ended before."""
    while not what():
        if process.poll() is not None:
            return False
        time.sleep(interval)
    return True


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Callable[..., Undisturbed]:
    """undisturbed(20, "--dtype", "uint8") -> an extraction of so many pictures, made once a session."""

    @functools.cache
    def make(images: int, *options: str) -> Undisturbed:
        folder = tmp_path_factory.mktemp("undisturbed")
        draw_pictures(folder / "set", images)
        extraction = Extraction(folder / "set", folder / "t.h5", options)
        started = time.monotonic()
        process = extraction.start()
        until(lambda: extraction.log.stat().st_size, process)
        spoke = time.monotonic() - started
        extraction.ended(process)
        status = Collection(extraction.out).status
        assert set(status.tolist()) == {1, 2}
        return Undisturbed(extraction, spoke, time.monotonic() - started)

    return make


def draw_pictures(root: Path, count: int) -> None:
    """Small JPEGs, some cut in the middle, and a table with scores and splits."""
    root.mkdir()
    lines = ["id,score,split"]
    for i in range(count):
        colours = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(colours).resize((60 + i, 50), Image.Resampling.BICUBIC).save(data, "JPEG")
        whole = data.getvalue()
        (root / f"{i:03}.jpg").write_bytes(whole[: len(whole) // 2] if i % BROKEN == 2 else whole)
        lines.append(f"{i:03}.jpg,{i / count},{('train', 'val', 'test')[i % 3]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


@dataclass
class Watched:
    """One file on its way to completion, compared with the undisturbed one after every fault."""

    extraction: Extraction
    reference: Undisturbed
    kept: frozenset[int] = frozenset()  # rows with a mark
    lost: int = 0  # rows that had a mark and have none any more
    compared: int = 0  # rows, summed over all faults
    unlike: int = 0  # of these, rows of which any byte differs

    def look(self) -> "Watched":
        """Compare every row that has a mark."""
        if not self.extraction.out.exists():
            self.lost += len(self.kept)
            return self
        status = Collection(self.extraction.out).status
        marked = frozenset(np.flatnonzero(status != PENDING).tolist())
        self.lost += len(self.kept - marked)
        self.compared += len(marked)
        self.unlike += unlike_rows(self.extraction.out, self.reference.out, marked)
        self.kept = marked
        return self

    def complete(self) -> "Watched":
        """The end: every row has a mark, and the tables that are written once are the same too."""
        self.look()
        assert len(self.kept) == self.reference.rows, f"{len(self.kept)} of {self.reference.rows} rows have a mark"
        with h5py.File(self.extraction.out) as file, h5py.File(self.reference.out) as wanted:
            same = [np.array_equal(file[name][:], wanted[name][:]) for name in fixed_tables(wanted)]
            same += [file.attrs[name] == wanted.attrs[name] for name in ("spec", "fingerprint", "roster")]
        assert all(same)
        return self

    @property
    def share_left(self) -> float:
        return 1 - len(self.kept) / self.reference.rows


def fixed_tables(file: h5py.File) -> Iterator[str]:
    """Names of the tables that carry a checksum of their own."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if "sha256" in item.attrs else None)
    return iter(names)


def unlike_rows(path: Path, reference: Path, rows: Iterable[int]) -> int:
    """How many of `rows` are not byte for byte those of `reference`: record, checksums, boxes, features. By h5py."""
    unlike = 0
    with h5py.File(path, locking=False) as file, h5py.File(reference, locking=False) as wanted:
        for row in rows:
            names = ["images", "checksums", "views"]
            names += ["segments/0000"] if wanted["images"][row]["status"] == DONE else []
            unlike += any(file[name][row].tobytes() != wanted[name][row].tobytes() for name in names)
    return unlike


@pytest.fixture
def watch(undisturbed, tmp_path) -> Iterator[Callable[..., Watched]]:
    """watch(20, name="t.h5", options=(), changes=()) -> a new file to be filled like the undisturbed one."""

    def start(images: int, name: str = "t.h5", options=(), changes=(), folder: Path = tmp_path) -> Watched:
        reference = undisturbed(images)
        extraction = replace(reference.extraction, out=folder / name, options=options, changes=changes)
        return Watched(extraction, reference)

    yield start
    while STARTED:  # after a failure some may still run
        STARTED[-1].kill()
        STARTED.pop().wait()


class Worker:
    """A Python script that answers one line of JSON with one line of JSON, and may crash or hang."""

    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, HERE / script, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(self, question: object) -> None:
        self.process.stdin.write(json.dumps(question).encode() + b"\n")

    def answer(self, seconds: float) -> dict:
        """Its answer, or {"hang": true} or {"crash": exit status}."""
        line, end = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                return {"hang": True}
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return {"crash": self.process.wait()}
            line += data
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    """worker("looker.py", arguments) -> a Worker that ends with the test."""
    workers: list[Worker] = []

    def start(*arguments: object) -> Worker:
        workers.append(Worker(*arguments))
        return workers[-1]

    yield start
    for each in workers:
        each.close()


FIGURES = Figures("AMNET_FAULTS_REPORT")


@pytest.fixture(scope="session")
def figures() -> Figures:
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures of a full run."""
    if FIGURES.tables and config.option.markexpr == "faults":
        terminalreporter.section("faults")
        terminalreporter.write(FIGURES.markdown())


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs of its own, and a file that takes its room."""

    folder: Path

    def leave(self, room: int) -> None:
        """Take all room but so many bytes."""
        disk = os.statvfs(self.folder)
        with open(self.folder / "ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def wait_until():
    return until


@pytest.fixture
def flipped():
    """with flipped(path, offset, bit): within it that bit of the file is the other one."""

    @contextmanager
    def flip(path: Path, offset: int, bit: int) -> Iterator[None]:
        before = _toggle(path, offset, bit)
        try:
            yield
        finally:
            assert _toggle(path, offset, bit) == before ^ 1 << bit

    return flip


def _toggle(path: Path, offset: int, bit: int) -> int:
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1 << bit]))
    return value
