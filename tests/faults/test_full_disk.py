"""A disk that is full: one line, what is finished is kept, the same command goes on once there is room."""

import random
import resource

import h5py
import pytest

from amnet_common.collection import Collection

pytestmark = pytest.mark.faults
BAD_INPUT, FULL_DISK = 2, 75


def features_extent(path) -> tuple[int, int]:
    """Where the features begin and end."""
    with h5py.File(path, locking=False) as file:
        segment = file["segments/0000"]
        return segment.id.get_offset(), segment.id.get_offset() + segment.nbytes


def refused_in_one_line(text: str, reason: str) -> bool:
    """Whether the last line, and no other, says what is wrong and what to do."""
    *before, last = text.strip().splitlines()
    return (last.startswith("amnet-extract: --out ") and f"cannot be written: {reason}" in last
            and last.endswith("run the same command again") and not any(reason in line for line in before))  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_file_that_may_not_grow_keeps_what_is_finished(watch, figures, seed):
    begun = watch(20, options=("--limit", "2"), changes=("--sync-rows", "2"))
    begun.extraction.finish()
    watched = watch(20, changes=("--sync-rows", "2")).look()
    start, end = features_extent(watched.extraction.out)
    room = random.Random(seed).randrange(start + (end - start) // 5, end)
    process = watched.extraction.start()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
    text = watched.extraction.ended(process, (BAD_INPUT,))
    assert refused_in_one_line(text, "File too large"), text
    kept = len(watched.look().kept)
    watched.extraction.finish()
    watched.complete()
    figures.add("Full disk", fault=f"RLIMIT_FSIZE at {room / end:.0%} of the file", rows_kept=kept,
                rows_compared=watched.compared, rows_that_differ=watched.unlike, rows_lost=watched.lost)  # fmt: skip
    assert (watched.unlike, watched.lost) == (0, 0)


@pytest.mark.parametrize("seed", range(2))
def test_full_disk_keeps_what_is_finished(watch, wait_until, figures, small_disk, seed):
    watched = watch(20, folder=small_disk.folder, changes=("--sync-rows", "2"))
    process = watched.extraction.start()
    wait_until(watched.extraction.out.exists, process)
    view = 2 * 14 * 14 * 1024
    leave = random.Random(seed).randrange(view // 2, 30 * view)
    small_disk.leave(leave)
    text = watched.extraction.ended(process, (FULL_DISK,))
    assert refused_in_one_line(text, "No space left on device"), text
    kept = len(watched.look().kept)
    small_disk.free()
    watched.extraction.finish()
    watched.complete()
    figures.add("Full disk", fault=f"tmpfs with room for {leave / view:.1f} more views", rows_kept=kept,
                rows_compared=watched.compared, rows_that_differ=watched.unlike, rows_lost=watched.lost)  # fmt: skip
    assert (watched.unlike, watched.lost) == (0, 0)
    assert Collection(watched.extraction.out).damaged.size == 0
