"""Several processes at one file: each fills its rows, whatever happens to the others, and one of them creates it."""

import random
import signal
import time
from collections import Counter

import pytest

from amnet_common.collection import Collection
from amnet_common.collection.layout import PENDING

KILLS = 6  # a round
FIRST, SECOND = ("--shard", "1/2"), ("--shard", "2/2")


def both(watch, images: int, changes=(), **place):
    """Two commands that each fill a half of the same new file."""
    return [watch(images, options=shard, changes=changes, **place) for shard in (FIRST, SECOND)]


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_killed_writer_does_not_disturb_the_other(watch, wait_until, figures, seed):
    rng, fell = random.Random(f"writers {seed}"), Counter()
    writers = both(watch, 20, ("--sync-rows", "2"))
    running = [writer.extraction.start() for writer in writers]
    while fell.total() < KILLS:
        alive = [number for number in (0, 1) if running[number].poll() is None]
        if not alive:
            break
        number = rng.choice(alive)
        wait_for_instant(running[number], writers[number], wait_until, rng)
        running[number].send_signal(signal.SIGKILL)
        if running[number].wait() != -signal.SIGKILL:
            continue
        fell["beside" if running[1 - number].poll() is None else "alone"] += 1
        writers[number].look()
        running[number] = writers[number].extraction.start()
    for writer, process in zip(writers, running, strict=True):
        writer.extraction.ended(process)
    for writer in writers:
        writer.complete()
    compared, unlike, lost = (
        sum(getattr(writer, name) for writer in writers) for name in ("compared", "unlike", "lost")
    )
    figures.add("Two writers, either of them killed", round=seed + 1, kills_beside_the_other=fell["beside"],
                kills_after_its_end=fell["alone"], rows_compared=compared, rows_that_differ=unlike,
                rows_lost=lost)  # fmt: skip
    assert (unlike, lost) == (0, 0)


def wait_for_instant(process, writer, wait_until, rng) -> None:
    """Until a random instant of its start, or while it fills its half of the rows."""
    measured = writer.reference
    if rng.random() < 0.3:
        time.sleep(rng.uniform(0, measured.spoke))
    else:
        wait_until(lambda: writer.extraction.log.stat().st_size, process)
        time.sleep(rng.uniform(0, (measured.total - measured.spoke) / 2))


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_two_commands_create_the_file_at_the_same_instant(watch, figures, tmp_path, seed):
    (tmp_path / "meeting").mkdir()
    first, second = both(watch, 20, ("--sync-rows", "2", "--meet", str(tmp_path / "meeting")))
    processes = [first.extraction.start(), second.extraction.start()]
    first.extraction.ended(processes[0])
    second.extraction.ended(processes[1])
    assert len(list((tmp_path / "meeting").iterdir())) == 2  # both had made a file of their own
    first.complete()
    figures.add("Creation by two at the same instant", way=f"amnet-extract --shard 1/2 and 2/2, round {seed + 1}",
                races=1, created=1, rows_compared=first.compared, rows_that_differ=first.unlike)  # fmt: skip
    assert first.unlike == 0
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.faults
def test_same_command_twice_at_the_same_instant_is_refused_once(watch, figures, tmp_path):
    (tmp_path / "meeting").mkdir()
    watched = watch(20, changes=("--meet", str(tmp_path / "meeting")))
    twin = watch(20, changes=watched.extraction.changes, options=("--seed", "0"))  # the default; with a log of its own
    processes = [each.extraction.start() for each in (watched, twin)]
    texts = [each.extraction.ended(process, (1, 75)) for each, process in zip((watched, twin), processes, strict=True)]
    assert sorted(process.returncode for process in processes) == [1, 75]
    refused = texts[[process.returncode for process in processes].index(75)].strip().splitlines()
    assert "found another writing there; wait, or give each process rows of its own with --shard I/N" in refused[-1]
    watched.complete()
    figures.add("Creation by two at the same instant", way="the same command twice: one is refused", races=1, created=1,
                rows_compared=watched.compared, rows_that_differ=watched.unlike)  # fmt: skip
    assert watched.unlike == 0


@pytest.mark.parametrize("races", [10, pytest.param(300, marks=pytest.mark.faults)])
def test_one_of_many_creators_wins_and_the_file_is_whole(worker, figures, tmp_path, races):
    creators = [worker("creator.py") for _ in range(4)]
    won = Counter()
    for number in range(races):
        path = tmp_path / f"{number}.h5"
        for creator in creators:
            creator.ask(str(path))
        answers = [creator.answer(60) for creator in creators]
        won[sum(answer["won"] for answer in answers)] += 1
        assert all("it exists already" in answer["reason"] for answer in answers if not answer["won"])
        assert (Collection(path).status == PENDING).all()
    figures.add("Creation by two at the same instant", way="create_skeleton in 4 processes", races=races,
                created=won[1], rows_compared="", rows_that_differ="")  # fmt: skip
    assert won == {1: races}
    assert len(list(tmp_path.iterdir())) == races  # no temporary file is left
