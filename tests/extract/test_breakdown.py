"""Where the time went, and which option would move it."""

import time
from dataclasses import replace

import pytest

from extract.breakdown import Work, breakdown, limit_of
from extract.clock import CUT, DECODE, PICTURES, READ, TRUNK, WRITE, Clock
from extract.compute import Compute

CPU = Compute("cpu", "bfloat16", 8, threads=2, compiled=True)
GPU = Compute("cuda", "float16", 256, threads=2, compiled=True)
WORK = Work(images=10, views=110, bytes=110 * 401408, dtype="float16", workers=1, cores=2, half=True)
BUSY = {READ: 0.01, DECODE: 0.02, CUT: 0.22, WRITE: 0.1}


def test_line_has_shares_of_wall_time_and_the_cost_of_every_stage():
    found = breakdown(BUSY | {TRUNK: 1.8, PICTURES: 0.1}, 2.0, WORK, CPU)
    assert found == (
        "time: trunk 90 %, pictures 5 %, writing 5 % (an image takes a worker 1.0 ms to read and 2.0 ms to decode, a "
        "view 2.0 ms to cut; 0.4 GB/s written); limit: trunk; a GPU (--device cuda, in a new file), or --shard I/N on "
        "several machines"
    )


@pytest.mark.parametrize("limit", [TRUNK, PICTURES, WRITE])
def test_limit_is_the_stage_that_took_or_made_others_wait_most(limit):
    assert limit_of(BUSY | {TRUNK: 0.5, PICTURES: 0.5} | {limit: 0.6}) == limit


@pytest.mark.parametrize(
    ("limit", "seconds", "work", "compute", "advice"),
    [
        (TRUNK, {}, {}, replace(CPU, precision="float32"), "--precision bfloat16"),
        (TRUNK, {}, {}, replace(GPU, precision="float32"), "--precision float16"),
        (TRUNK, {}, {"half": False}, replace(CPU, precision="float32"), "a GPU"),
        (TRUNK, {}, {"views": 5000}, replace(CPU, compiled=False), "--compile"),
        (TRUNK, {}, {"views": 4999}, replace(CPU, compiled=False), "a GPU"),
        (TRUNK, {}, {"views": 500_000}, replace(GPU, compiled=False), "--compile"),
        (TRUNK, {}, {}, GPU, "several GPUs"),
        (WRITE, {}, {}, CPU, "--dtype uint8"),
        (WRITE, {}, {"dtype": "uint8"}, CPU, "a faster disk for --out"),
        (PICTURES, {}, {}, GPU, "--workers 2 uses every core"),
        (PICTURES, {}, {"workers": 2}, GPU, "all cores are at it"),
        (PICTURES, {READ: 5.0}, {"workers": 2}, GPU, "--workers 4 reads more at once"),
    ],
)
def test_option_that_would_move_the_limit_is_named(limit, seconds, work, compute, advice):
    found = breakdown(BUSY | {limit: 9.0} | seconds, 10.0, replace(WORK, **work), compute)
    assert advice in found.partition("limit: ")[2]


def test_clock_adds_up_each_stage_and_the_wait_for_each_item():
    clock = Clock()
    for _ in range(2):
        with clock(CUT):
            time.sleep(0.01)
    slow = (time.sleep(0.01) or i for i in range(3))
    assert list(clock.waiting(PICTURES, slow)) == [0, 1, 2]
    assert clock.seconds[CUT] >= 0.02
    assert clock.seconds[PICTURES] >= 0.03
    assert set(clock.seconds) == {CUT, PICTURES}


def test_time_of_a_stage_that_fails_counts_too():
    clock = Clock()
    with pytest.raises(OSError, match="gone"), clock(READ):
        raise OSError("gone")
    assert clock.seconds[READ] > 0


def test_command_ends_with_the_line_where_it_has_done_something(pictures, extract):
    dataset = pictures(3, broken=(1,))
    found = extract(dataset).stderr.splitlines()
    assert [line.partition(" ")[0] for line in found if "limit: " in line] == ["time:"]
    assert "limit: " not in extract(dataset).stderr
    assert "limit: " not in extract(pictures(1, broken=(0,), name="others"), "--out", "none.h5").stderr
