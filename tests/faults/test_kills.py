"""SIGKILL at any instant: the same command again completes the file, byte for byte as if nothing had happened."""

import random
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest

KILLS_A_FILE = 6
CREATION = 4  # syncs and links, before the first row is written
AFTER = "after the end (no kill)"
WHERE = ("before the file was there", "file there, no row done", "some rows done", "all rows done, still running")


def wait_for_instant(process, watched, wait_until, rng) -> None:
    """Until a random instant: of starting, of the file's creation, or while rows are computed and written."""
    extraction, measured = watched.extraction, watched.reference
    kind = rng.random()
    if not extraction.out.exists() and kind < 0.4:
        wait_until(lambda: extraction.out.exists() or list(extraction.out.parent.glob(".*.tmp")), process)
        time.sleep(rng.uniform(0, 0.01))
    elif kind < 0.55:
        time.sleep(rng.uniform(0, measured.spoke))
    else:
        wait_until(lambda: extraction.log.stat().st_size, process)
        time.sleep(rng.uniform(0, (measured.total - measured.spoke) * (0.25 + watched.share_left)))


def where(watched) -> str:
    """How far the file is."""
    if not watched.extraction.out.exists():
        return WHERE[0]
    return {0: WHERE[1], watched.reference.rows: WHERE[3]}.get(len(watched.kept), WHERE[2])


def kill_once(watched, wait_until, rng) -> str:
    """Run the command, kill it at a random instant, and say where that fell."""
    process = watched.extraction.start()
    wait_for_instant(process, watched, wait_until, rng)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        watched.extraction.ended(process)
        return AFTER
    return where(watched.look())


def fill_under_kills(watched, most: int, wait_until, rng) -> Counter:
    """Kill and resume until the file is complete, or was killed so often and may finish in peace; where kills fell."""
    fell = Counter()
    while fell.total() < most:
        here = kill_once(watched, wait_until, rng)
        fell[here] += 1
        if here == AFTER:
            break
    else:
        watched.extraction.finish()
    watched.complete()
    watched.extraction.out.unlink()
    return fell


@pytest.mark.parametrize(
    ("images", "kills", "changes"),
    [
        pytest.param(4, 2, ("--sync-rows", "1"), id="few"),
        pytest.param(20, 16, (), id="console script", marks=pytest.mark.faults),
        pytest.param(20, 40, ("--sync-rows", "2"), id="marks every 2 rows", marks=pytest.mark.faults),
    ],
)
def test_killed_extraction_resumes_to_the_same_bytes(images, kills, changes, watch, wait_until, figures, tmp_path):
    rng = random.Random(f"{images} {kills}")
    fell, files = Counter(), []
    while (more := kills - sum(fell[place] for place in WHERE)) > 0:
        files.append(watch(images, f"{len(files)}.h5", changes=changes))
        fell += fill_under_kills(files[-1], min(more, KILLS_A_FILE), wait_until, rng)
    left = len(list(tmp_path.glob(".*.tmp")))
    report(figures, "SIGKILL of the console script" if not changes else "SIGKILL, marks every 2 rows", files,
           {kind: fell[kind] for kind in (*WHERE, AFTER)}, left)  # fmt: skip
    assert sum(file.unlike + file.lost for file in files) == 0


@pytest.mark.faults
def test_killed_within_a_write_resumes_to_the_same_bytes(watch, figures, tmp_path):
    rng = random.Random("within a write")
    files, fell = [], Counter()
    for number in range(10):
        call = number if number < CREATION else rng.randrange(CREATION, 110)
        at = ("--die-at", str(call), str(rng.random()))
        files.append(watch(20, f"{number}.h5", changes=("--sync-rows", "2", *at)))
        process = files[-1].extraction.start()
        assert process.wait() == -signal.SIGKILL
        fell[where(files[-1].look())] += 1
        files[-1].extraction = replace(files[-1].extraction, changes=())
        files[-1].extraction.finish()
        files[-1].complete()
        files[-1].extraction.out.unlink()
    left = len(list(tmp_path.glob(".*.tmp")))
    report(figures, "SIGKILL within a write or sync", files, {kind: fell[kind] for kind in WHERE}, left)
    assert sum(file.unlike + file.lost for file in files) == 0


def report(figures, fault: str, files, fell: dict[str, int], left: int) -> None:
    """A line of the figures."""
    counts = {"kills": sum(number for kind, number in fell.items() if kind != AFTER), **fell}
    compared, unlike = sum(file.compared for file in files), sum(file.unlike for file in files)
    figures.add("Kills", fault=fault, **counts, temporary_files_left=left, rows_compared=compared,
                rows_that_differ=unlike, rows_lost=sum(file.lost for file in files))  # fmt: skip
