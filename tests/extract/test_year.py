"""A library that lives: nights of new, changed, renamed, deleted, damaged, restored and interrupted images.

After every night that ends, the collection is byte for byte what a fresh extraction of that day's folder would be.
AMNET_NIGHTS says how many nights; `make year` runs 365.
"""

import errno
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, FAILED
from headtrain.cli import main as head
from headtrain.heads.checkpoint import BEST, save_head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.scoring.formats import read_rows
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET
from tests.extract.fresh import assert_as_fresh

NIGHTS = int(os.environ.get("AMNET_NIGHTS", "9"))
ALL_CALLS = "AMNET_ALL_CALLS" in os.environ
FEWEST, MOST = 20, 60


class Library:
    """A folder of pictures that changes by a seeded script; what was deleted may come back, under another name too."""

    def __init__(self, root: Path, draw: Callable[..., Path], seed: int) -> None:
        self.root, self.draw, self.dice, self.made, self.bin = root, draw, random.Random(seed), 0, root.parent / "bin"
        self.bin.mkdir()
        for _ in range(30):
            self.new()

    def some(self) -> Path:
        return self.dice.choice(sorted(path for path in self.root.rglob("*.*") if path.is_file()))

    def free_name(self, kind: str = ".bmp") -> Path:
        folder = self.root / self.dice.choice(["", "a", "b/c"])
        folder.mkdir(parents=True, exist_ok=True)
        self.made += 1
        return folder / f"{self.dice.randrange(10_000):04}-{self.made}{kind}"

    def new(self) -> None:
        self.draw(self.free_name(self.dice.choice([".bmp", ".png"])), seed=self.dice.randrange(10**6))

    def change(self) -> None:
        self.draw(self.some(), seed=self.dice.randrange(10**6))

    def rename(self) -> None:
        path = self.some()
        os.rename(path, self.free_name(path.suffix))

    def copy(self) -> None:
        path = self.some()
        shutil.copy(path, self.free_name(path.suffix))

    def delete(self) -> None:
        path = self.some()
        os.rename(path, self.bin / f"{self.dice.randrange(10**9)}{path.suffix}")

    def restore(self) -> None:
        if there := sorted(self.bin.iterdir()):
            path = self.dice.choice(there)
            os.rename(path, self.free_name(path.suffix))

    def swap(self) -> None:
        one, two = self.some(), self.some()
        if one != two and one.suffix == two.suffix:
            os.rename(one, self.root / "aside")
            os.rename(two, one)
            os.rename(self.root / "aside", two)

    def damage(self) -> None:
        path = self.some()
        path.write_bytes(path.read_bytes()[: self.dice.choice([0, 40, 300])])

    def touch(self) -> None:
        os.utime(self.some(), ns=(0, self.dice.randrange(10**18)))

    def day(self) -> None:
        """One day's changes."""
        count = len([path for path in self.root.rglob("*.*") if path.is_file()])
        events = [self.new, self.change, self.rename, self.copy, self.delete, self.restore, self.swap, self.damage,
                  self.touch]  # fmt: skip
        for event in self.dice.choices(events, weights=[3, 2, 3, 1, 4, 1, 1, 1, 1], k=self.dice.randrange(6)):
            if not (event == self.delete and count <= FEWEST) and not (event == self.new and count >= MOST):
                event()


CALLS = ("pwrite", "replace", "rename", "link", "unlink", "mkdir", "fsync", "truncate")  # of os, that change a disk


def faulty(call: int, fault: Callable[[], None], run: Callable[[], int]) -> int:
    """Run in a process of its own whose call number `call` of CALLS does `fault` first; status, or minus a signal."""
    child = os.fork()
    if not child:
        left = [call]

        def wrapped(usual: Callable[..., object]) -> Callable[..., object]:
            def made(*args: object, **more: object) -> object:
                left[0] -= 1
                if left[0] == -1:
                    fault()
                return usual(*args, **more)

            return made

        status = 99
        try:
            for name in CALLS:
                setattr(os, name, wrapped(getattr(os, name)))
            status = run()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """As kill -9, or a power cut that loses nothing that was written."""
    os.kill(os.getpid(), signal.SIGKILL)


def no_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed_at(call: int, run: Callable[[], int]) -> bool:
    """Whether a command that is killed at a call did die of it; one that makes fewer calls ends by itself."""
    return faulty(call, die, run) == -signal.SIGKILL


@pytest.fixture
def quiet(monkeypatch):
    """No progress bar's thread, which a fork would leave behind."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)


@pytest.fixture
def score(tmp_path):
    """score("t.h5", "scores.csv") -> rows of the table without the name of the collection, by one random head."""
    config = override(AMNET, hidden=8, regress_hidden=4)
    torch.manual_seed(0)
    one = PaperHead(config.head)
    torch.nn.init.normal_(one.regress.out.weight)
    (tmp_path / "run").mkdir()
    save_head(tmp_path / "run" / BEST, one, Provenance(config, {}, 1, 1))

    def run(features, out):
        words = ["score", "--features", features, "--head", "run", "--out", out, "--append", "--device", "cpu",
                 "--precision", "float32", "--no-compile"]  # fmt: skip
        result = CliRunner().invoke(head, words, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return [replace(row, collection="") for row in read_rows(Path(out), "csv", 3)]

    return run


@pytest.mark.usefixtures("quiet")
def test_every_night_is_as_a_fresh_extraction(tmp_path, extract, draw, score):
    library = Library(tmp_path / "photos", draw, seed=5)
    killed = 0
    for night in range(NIGHTS):
        library.day()
        options = ["--prune"] if library.dice.random() < 0.2 else []

        class Here:
            image_root = library.root

        def sync(options=tuple(options), here=Here):
            return extract(here, "--sync", "--augs", "0", *options).status

        for _ in range(library.dice.choice([0, 0, 0, 1, 2])):
            killed += killed_at(library.dice.randrange(30), sync)
        if library.dice.random() < 0.1 and os.path.exists("t.h5"):
            killed += killed_at(library.dice.randrange(200), compact)
        if library.dice.random() < 0.1 and os.path.exists("t.h5"):
            compact()
        status = sync()
        assert_as_fresh("t.h5", library.root, extract)
        assert status == int((Collection("t.h5").status == FAILED).any()), f"night {night}"
        if night % 3 == 0:
            extract(Here, "--out", "fresh.h5", "--augs", "0")
            assert score("t.h5", "scores.csv") == score("fresh.h5", "fresh.csv"), f"night {night}"
            for path in Path().glob("fresh.*"):
                path.unlink()
    assert killed > NIGHTS / 10


def compact() -> int:
    """The command; its exit status."""
    return CliRunner().invoke(cache, ["compact", "t.h5"], catch_exceptions=False).exit_code


def all_done_rows_hold(path: str) -> None:
    """The collection opens, and what it says is done has the bytes of its checksums."""
    collection = Collection(path)
    collection.read(np.flatnonzero(collection.status == DONE), 0, check=True)


@pytest.fixture
def busy_day(tmp_path, extract, draw):
    """begin() -> the folder, whose collection is a day old; the day brought every kind of change."""
    root = tmp_path / "photos"

    def sync(*options):
        class Here:
            image_root = root

        return extract(Here, "--sync", "--augs", "0", *options).status

    def begin():
        for old in (root, Path("t.h5.parts")):
            shutil.rmtree(old, ignore_errors=True)
        for old in Path().glob("t.h5*"):
            old.unlink()
        root.mkdir()
        for number in range(6):
            draw(root / f"{number}.bmp", seed=number)
        sync()
        draw(root / "new.bmp", seed=7)
        draw(root / "newer.png", seed=8)
        draw(root / "1.bmp", seed=9)
        os.rename(root / "2.bmp", root / "renamed.bmp")
        (root / "3.bmp").unlink()
        (root / "4.bmp").write_bytes(b"no picture")
        return root

    return begin, sync


def calls() -> range:
    """At which calls to the disk a command is killed."""
    return range(0, 1000, 1 if ALL_CALLS else 29)


@pytest.mark.usefixtures("quiet")
def test_sync_killed_at_any_call_loses_nothing_and_the_next_ends_well(busy_day, extract):
    begin, sync = busy_day
    for call in calls():
        root = begin()
        died = killed_at(call, lambda: sync("--prune"))
        all_done_rows_hold("t.h5")
        assert sync() == 1
        assert_as_fresh("t.h5", root, extract)
        if not died:
            break
    assert call > 28


@pytest.mark.usefixtures("quiet")
def test_compact_killed_at_any_call_loses_nothing_and_the_next_ends_well(busy_day, extract):
    begin, sync = busy_day
    for call in calls():
        root = begin()
        sync()
        died = killed_at(call, compact)
        assert_as_fresh("t.h5", root, extract)
        assert compact() == 0
        assert (Collection("t.h5").linked, os.path.exists("t.h5.parts")) == (False, False)
        assert_as_fresh("t.h5", root, extract)
        if not died:
            break
    assert call > 28


@pytest.mark.usefixtures("quiet")
def test_remove_killed_at_any_call_ends_when_it_is_said_again(busy_day, extract):
    begin, sync = busy_day
    for call in calls():
        root = begin()
        sync()
        ids = ["0.bmp", "renamed.bmp"]
        died = killed_at(call, lambda: remove(*ids))  # noqa: B023
        all_done_rows_hold("t.h5")
        assert remove(*ids, "--ignore-missing") == 0
        for id_ in ids:
            (root / id_).unlink()
        assert not {*ids, "2.bmp"} & set(names_in_all_files())
        assert_as_fresh("t.h5", root, extract)
        if not died:
            break
    assert call > 28


def remove(*words: str) -> int:
    """The command; its exit status."""
    return CliRunner().invoke(cache, ["remove", "t.h5", *words], catch_exceptions=False).exit_code


def names_in_all_files() -> list[str]:
    """The ids that stand in the collection or in any of its parts."""
    paths = ["t.h5", *Path("t.h5.parts").glob("*.h5")]
    return [id_ for path in paths for id_ in Collection(path).ids]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", ["sync", "compact", "remove"])
def test_full_disk_at_any_call_is_told_loses_nothing_and_the_next_ends_well(busy_day, extract, name):
    begin, sync = busy_day
    told = 0
    for call in calls():
        root = begin()
        if name != "sync":
            sync()
        command = {"sync": lambda: sync("--prune"), "compact": compact, "remove": lambda: remove("0.bmp")}[name]
        status = faulty(call, no_room, command)
        assert status in (0, 1, 75), f"call {call}"
        told += status == 75
        all_done_rows_hold("t.h5")
        if name == "remove":
            assert remove("0.bmp", "--ignore-missing") == 0
            (root / "0.bmp").unlink()
        elif name == "compact":
            assert compact() == 0
        assert sync() == 1
        assert_as_fresh("t.h5", root, extract)
        assert not leftovers()
        if status != 75 and call > 60:
            break
    assert told


def leftovers() -> list[Path]:
    """What no command should leave behind once all is well."""
    return [path for path in Path().rglob("*") if path.name.endswith((".tmp", ".lock", ".compacting"))]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("pair", [("sync", "sync"), ("sync", "compact"), ("compact", "remove"), ("sync", "remove")])
def test_of_two_at_once_each_ends_well_or_is_told_to_come_again(busy_day, extract, pair):
    begin, sync = busy_day
    root = begin()
    commands = {"sync": sync, "compact": compact, "remove": lambda: remove("0.bmp")}
    if "compact" in pair:
        sync()
    children = []
    for name in pair:
        child = os.fork()
        if not child:
            status = 99
            try:
                status = commands[name]()
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(statuses) <= {0, 1, 75}
    all_done_rows_hold("t.h5")
    assert sync() == 1
    assert_as_fresh("t.h5", root, extract)
    assert not leftovers()
