"""Kills, full disks and twins of every command that writes: nothing is lost, half-written, or said in a traceback.

A command is run undisturbed once, which counts the calls by which its files come to be. Then it is killed before and
after each of them, or told there that the disk is full, and run again as its messages say; what it leaves in the end
must be what the undisturbed one left.
"""

import csv
import hashlib
import json
import os
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyarrow import parquet
from safetensors import safe_open

from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList

PATIENCE = 120  # seconds for one command
INSTANTS = int(os.environ.get("AMNET_FAULTS_INSTANTS", "10"))  # of each command at which it is killed
KILLED, FULL, REFUSED, BUSY = (-9, -14), 75, 2, 75
TEMPORARY = re.compile(r"\..*(\.tmp|\.lock|\.part)$|.*\.part(\.json)?$")
SMALL = ["--epochs", "2", "--hidden", "4", "--device", "cpu", "--precision", "float32", "--no-compile"]


@dataclass(frozen=True)
class Case:
    """A command, what it leaves, and how it goes on after a fault."""

    command: str
    words: tuple[str, ...]
    resume: tuple[str, ...] = ()  # more words, if something is left of it
    out: str = "out"


CASES = {
    "train": Case("amnet-head", ("train", "--features", "f.h5", *SMALL, "--out", "out"), ("--resume",)),
    "sweep": Case("amnet-head", ("sweep", "--features", "f.h5", "--grid", "lr=1e-3,1e-4", *SMALL, "--out", "out"),
                  ("--resume",)),
    "search": Case("amnet-head", ("sweep", "--features", "f.h5", "--trials", "3", "--range", "lr=1e-4:1e-2:log",
                                  "--split", "1", *SMALL, "--out", "out"), ("--resume",)),
    "score": Case("amnet-head", ("score", "--features", "f.h5", "--head", "run", "--device", "cpu", "--precision",
                                 "float32", "--out", "out.csv"), (), "out.csv"),
    "score-parquet": Case("amnet-head", ("score", "--features", "f.h5", "--head", "run", "--device", "cpu",
                                         "--precision", "float32", "--out", "out.parquet"), (), "out.parquet"),
    "baseline": Case("amnet-head", ("baseline", "--features", "f.h5", "--out", "out")),
    "evaluate": Case("amnet-head", ("evaluate", "--features", "f.h5", "--head", "run", "--split", "1", "--device",
                                    "cpu", "--out", "out")),
    "link": Case("amnet-cache", ("link", "f.h5", "g.h5", "--out", "out.h5"), (), "out.h5"),
    "relabel": Case("amnet-cache", ("relabel", "f.h5", "--labels", "labels.csv", "--out", "out.h5"), (), "out.h5"),
    "export": Case("amnet-cache", ("export", "f.h5", "--views", "all", "--out", "out.npy"), (), "out.npy"),
    "export-npz": Case("amnet-cache", ("export", "f.h5", "--out", "out.npz"), (), "out.npz"),
}  # fmt: skip


def make_features(folder: Path, name: str, prefix: str) -> None:
    """Twelve images of noise in two splits."""
    scores, ids = np.linspace(0.3, 0.9, 12), tuple(f"{prefix}{row:02}.jpg" for row in range(12))
    lists = {}
    for k, order in ((1, np.arange(12)), (2, np.arange(12)[::-1])):
        parts = zip(("train", "val", "test"), np.split(order, [6, 9]), strict=True)
        lists |= {f"{part}_{k}": SplitList(rows, scores[rows]) for part, rows in parts}
    spec = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 1}, 0, "float32", "float16")
    splits = lists if prefix == "a" else {}
    create_skeleton(folder / name, Dataset("test", folder, ids, splits), 2, spec, {"mode": "eager"}, {})
    with RowWriter(folder / name) as writer:
        for row in range(12):
            for view in range(2):
                features = np.random.default_rng([row, view]).random((14, 14, 1024), np.float32).astype(np.float16)
                writer.write_view(row, view, features + np.float16(scores[row]))
            writer.finish(row, ImageFacts(width=256, height=256), np.tile([16, 16, 224, 224, 0], (2, 1)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("inputs")
    make_features(folder, "f.h5", "a")
    make_features(folder, "g.h5", "b")
    (folder / "labels.csv").write_text("id,score,split\n" + "".join(
        f"a{row:02}.jpg,{row / 12},{('train', 'val', 'test')[row % 3]}\n" for row in range(12)))  # fmt: skip
    return folder


@pytest.fixture
def run(worker):
    """run(case, folder, words=(), **fault) -> (status, what was printed, number of calls)."""
    server = worker("forked.py")

    def ask(case: Case, folder: Path, words=(), **fault):
        log = folder.parent / "log.txt"
        question = {"command": case.command, "words": [*case.words, *words], "folder": str(folder), "log": str(log)}
        server.ask(question | fault)
        found = server.answer(PATIENCE)
        assert "status" in found, found
        logs = [Path(f"{log}.{k}") for k in (1, 2)] if fault.get("twice") else [log]
        texts = [path.read_text(errors="replace") for path in logs]
        assert not any("Traceback" in text for text in texts), texts
        return found["status"], texts if fault.get("twice") else texts[0], found.get("calls", 0)

    return ask


@pytest.fixture
def fresh(inputs, run, tmp_path):
    """fresh() -> a new working folder with the inputs; the run that scoring reads is trained once."""
    made = tmp_path / "made"
    shutil.copytree(inputs, made)
    assert run(Case("amnet-head", ("train", "--features", "f.h5", *SMALL, "--out", "run")), made)[0] == 0
    numbers = iter(range(10**6))

    def make() -> Path:
        folder = tmp_path / f"w{next(numbers)}" / "w"
        folder.parent.mkdir()
        shutil.copytree(made, folder, copy_function=os.link)  # nothing writes into the inputs
        return folder

    return make


def told(path: Path) -> object:
    """What a file says, apart from times, paths and names made at random."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if path.name in ("log.csv", "test.csv"):
        return [{key: as_number(cell) for key, cell in row.items() if key != "seconds"}
                for row in csv.DictReader(path.read_text().splitlines())]  # fmt: skip
    if path.suffix == ".json":
        said, table = without_times(json.loads(path.read_text())), path.with_suffix("")
        if table.suffix == ".parquet":  # which says inside when it was made
            said["sha256"] = said["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest() or "of another"
        return said
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        return {"rows": table.to_pydict(), "about": without_times(json.loads(table.schema.metadata[b"amnet"]))}
    if path.suffix == ".h5":
        with h5py.File(path, locking=False) as file:
            return {name: np.asarray(file[name]).tobytes() for name in ("labels", "images") if name in file}
    return path.read_bytes()


def as_number(cell: str) -> object:
    """A cell of a table as a number, if it is one."""
    try:
        return float(cell)
    except ValueError:
        return cell


def alike(a: object, b: object) -> bool:
    """Whether two files say the same. Resumed, fewer heads may share a bank: its products differ in last bits."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float | np.ndarray) and isinstance(b, float | np.ndarray):
        return np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)
    return a == b


def without_times(value: object) -> object:
    """JSON without what differs from one undisturbed command to the next."""
    unlike = ("seconds", "features", "heads", "runs", "collections", "made")
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in unlike}
    return value


def left(folder: Path, out: str) -> dict[str, object]:
    """Every file that a command has left, by its name; the database of a search says the same in other bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.partition("/")[0].startswith((out, f".{out}")) and path.name != "study.db":
            found[name] = told(path)
    return found


def finished(run, case: Case, folder: Path) -> str:
    """Run again until the command is done, as a user would."""
    there = (folder / case.out).exists()
    status, text, _ = run(case, folder, case.resume if there else ())
    if status == REFUSED and "expected a new" in text:  # it was done already
        return text
    if status == REFUSED and "exists already" in text:
        return text
    assert status == 0, text
    return text


def compare(case: Case, folder: Path, wanted: dict[str, object]) -> None:
    """What is left must be what an undisturbed command leaves, and nothing temporary."""
    found = left(folder, case.out)
    assert found.keys() == wanted.keys()
    assert [name for name in found if not alike(found[name], wanted[name])] == []
    assert [path for path in folder.rglob("*") if TEMPORARY.match(path.name)] == []


def under_faults(name: str, run, fresh, faults, most: int) -> int:
    """Let calls of a command fail, at most so many of them, each in each way; how many faults there were."""
    case, folder = CASES[name], fresh()
    status, text, calls = run(case, folder, at=-1)
    assert (status, calls > 0) == (0, True), text
    wanted, count = left(folder, case.out), 0
    shutil.rmtree(folder.parent)
    instants = sorted(random.Random(0).sample(range(calls), min(most, calls)))
    for at in instants:
        for fault in faults:
            folder = fresh()
            status, text, _ = run(case, folder, at=at, fault=fault)
            assert status in (0, *KILLED) if fault != "no room" else status in (0, FULL), (at, fault, status, text)
            if status == FULL:
                assert "No space left on device" in text.strip().splitlines()[-1], text
            finished(run, case, folder)
            compare(case, folder, wanted)
            count += 1
            shutil.rmtree(folder.parent)
    return count


@pytest.mark.parametrize("name", ["score", "export"])
def test_some_instants_of_fast_commands(run, fresh, name):
    """The others are for `make faults`."""
    assert under_faults(name, run, fresh, ["die after", "no room"], most=3)


@pytest.mark.faults
@pytest.mark.parametrize("name", CASES)
def test_a_command_that_is_killed_at_any_instant_loses_nothing(run, fresh, figures, name):
    kills = under_faults(name, run, fresh, ["die before", "die after"], INSTANTS)
    figures.add("Kills of commands", command=name, kills=kills, lost=0, half_written=0, tracebacks=0)


@pytest.mark.faults
@pytest.mark.parametrize("name", CASES)
def test_a_command_whose_disk_is_full_at_any_instant_says_so_and_loses_nothing(run, fresh, figures, name):
    faults = under_faults(name, run, fresh, ["no room"], INSTANTS // 2)
    figures.add("Full disk of commands", command=name, instants=faults, lost=0, half_written=0, tracebacks=0)


@pytest.mark.faults
@pytest.mark.parametrize("name", CASES)
def test_a_real_disk_that_is_full_loses_nothing(run, fresh, figures, small_disk, name):
    case, folder = CASES[name], fresh()
    assert run(case, folder)[0] == 0
    wanted = left(folder, case.out)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.name.startswith(case.out)
               or case.out in path.relative_to(folder).parts)  # fmt: skip
    draw, full = random.Random(0), 0
    for _ in range(INSTANTS // 2):
        work = small_disk.folder / "w"
        shutil.copytree(fresh(), work)
        small_disk.leave(draw.randrange(4096, 2 * size + 8192))
        status, text, _ = run(case, work)
        assert status in (0, FULL), text
        full += status == FULL
        small_disk.free()
        finished(run, case, work)
        compare(case, work, wanted)
        shutil.rmtree(work)
    figures.add(
        "A tmpfs that is full", command=name, sizes=INSTANTS // 2, full=full, lost=0, half_written=0, tracebacks=0
    )


@pytest.mark.faults
@pytest.mark.parametrize("name", CASES)
def test_of_two_commands_on_one_output_one_ends_in_a_line_and_the_other_is_whole(run, fresh, figures, name):
    case, folder = CASES[name], fresh()
    assert run(case, folder)[0] == 0
    wanted, draw, refused = left(folder, case.out), random.Random(0), 0
    for _ in range(INSTANTS // 2):
        folder = fresh()
        statuses, texts, _ = run(case, folder, twice=True, apart=draw.choice([0, 0.01, draw.uniform(0, 0.5)]))
        assert sorted(statuses) in ([0, 0], [0, REFUSED], [0, BUSY]), texts
        for status, text in zip(statuses, texts, strict=True):
            if status:
                refused += 1
                said = {REFUSED: "expected a new|exists already", BUSY: "found another at work"}[status]
                assert re.search(said, text.splitlines()[-1]), text
        compare(case, folder, wanted)
        shutil.rmtree(folder.parent)
    figures.add("Two at once", command=name, pairs=INSTANTS // 2, refused_in_one_line=refused, lost=0, half_written=0)
