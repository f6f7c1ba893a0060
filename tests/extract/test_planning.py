"""What an extraction costs is said, and a disk that cannot hold it refused, before anything is made."""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from amnet_common.collection.writer import ImageFacts
from amnet_common.datasets import load_dataset
from extract.clock import CUT, DECODE, READ
from extract.crops import ViewPlan
from extract.found import look
from extract.job import decide
from extract.pipeline import Cut, Cutter
from extract.planning import Plan, Rates, duration, make_plan, plan_lines, probe_pictures, probe_rate
from extract.request import Request

FLOAT_VIEW, CODE_VIEW = 401_408, 200_704  # bytes


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch):
    """disk(free=10**6): the disk has so many bytes left."""

    def have(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))

    return have


def plan_of(dataset, **settings) -> Plan:
    request = Request(Path("t.h5"), dataset, "untrained", **settings)
    return make_plan(decide(request, look(request)))


@pytest.mark.parametrize(("dtype", "view_bytes"), [("float16", FLOAT_VIEW), ("uint8", CODE_VIEW)])
@pytest.mark.parametrize("augs", [0, 3])
def test_planned_bytes_are_those_of_the_finished_file(pictures, extract, tmp_path, dtype, view_bytes, augs):
    dataset = pictures(5)
    plan = plan_of(dataset, dtype=dtype, plan=ViewPlan(augs))
    assert (plan.images, plan.views, plan.feature_bytes) == (5, 1 + augs, 5 * (1 + augs) * view_bytes)
    extract(dataset, "--dtype", dtype, "--augs", augs)
    found = (tmp_path / "t.h5").stat()
    assert 0 <= found.st_size - plan.needed_bytes < 40_000  # HDF5's structure and the space between pages
    assert abs(found.st_blocks * 512 - plan.needed_bytes) < 60_000
    with h5py.File(tmp_path / "t.h5") as file:
        tables = sum(file[name].dtype.itemsize * file[name].size for name in ("images", "views", "checksums"))
    assert plan.table_bytes == tables


def test_plan_of_a_begun_file_is_of_what_is_left(pictures, extract):
    dataset = pictures(5)
    extract(dataset, "--limit", 2)
    plan = plan_of(dataset, plan=ViewPlan(1))
    assert (plan.images, plan.feature_bytes, plan.table_bytes) == (3, 6 * FLOAT_VIEW, 0)
    shard = plan_of(dataset, plan=ViewPlan(1), limit=4)
    assert (shard.images, shard.feature_bytes) == (2, 4 * FLOAT_VIEW)


def test_rows_that_are_done_again_need_time_but_no_room(pictures, extract, draw, flip, tmp_path):
    dataset = pictures(4)
    extract(dataset)
    draw(dataset.image_root / "001.png", size=(90, 60))
    changed = plan_of(dataset, plan=ViewPlan(1), update=True)
    assert (changed.images, changed.needed_bytes, changed.seconds(0.5)) == (1, 0, 4)
    extract(dataset, "--update")
    with h5py.File(tmp_path / "t.h5") as file:
        for row in range(4):
            flip(tmp_path / "t.h5", file["checksums"].id.get_offset() + 8 * row)
    damaged = plan_of(dataset, plan=ViewPlan(1))
    assert (damaged.images, damaged.needed_bytes < 10_000) == (4, True)


def test_overwriting_frees_what_the_file_takes(pictures, extract, disk):
    dataset = pictures(3)
    extract(dataset)
    disk(1000)
    assert plan_of(dataset, plan=ViewPlan(1)).free_bytes == 1000
    free = plan_of(dataset, plan=ViewPlan(1), overwrite=True).free_bytes
    assert 6 * FLOAT_VIEW < free - 1000 < 6 * FLOAT_VIEW + 60_000


@pytest.mark.parametrize(("dtype", "gigabytes"), [("float16", "2.41"), ("uint8", "1.20")])
def test_disk_that_is_too_small_is_refused_with_numbers_and_nothing_is_made(
    pictures, extract, disk, tmp_path, dtype, gigabytes
):
    disk(1_000_000_000)
    refused = extract(pictures(3), "--augs", 1999, "--dtype", dtype)
    assert (refused.status, refused.stdout, refused.views) == (2, "", 0)
    wanted = (
        f"expected {gigabytes} GB for 3 images of 2000 views, found 1.00 GB free; --dtype uint8 takes half of float16, "
    )
    line = f"main: --out t.h5: {wanted}--shard I/N with an --out on another disk a part"
    assert refused.stderr.splitlines()[-1] == line  # torch 2.7 may say before that there is no CUDA
    assert os.listdir(tmp_path) == ["pictures"]


def test_disk_that_just_holds_it_is_enough(pictures, extract, disk):
    dataset = pictures(2)
    needed = plan_of(dataset, plan=ViewPlan(1)).needed_bytes
    disk(needed - 1)
    assert extract(dataset).status == 2
    disk(needed)
    assert extract(dataset).status == 0


def test_begun_file_is_gone_on_with_if_its_rest_has_room(pictures, extract, disk):
    dataset = pictures(4)
    extract(dataset, "--limit", 3)
    disk(2 * FLOAT_VIEW)
    assert extract(dataset).status == 0
    disk(0)
    assert extract(dataset).status == 0  # nothing to do needs no room


def test_file_system_that_does_not_say_its_size_is_taken_as_it_is(pictures, extract, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    dataset = pictures(1)
    assert fields(extract(dataset, "--dry-run").stdout)["free disk"] == "unknown"
    assert extract(dataset).status == 0


def fields(stdout: str) -> dict[str, str]:
    """The lines of --dry-run by their first words."""
    return dict(re.fullmatch(r"(\S+(?: disk)?) +(.*)", line).groups() for line in stdout.splitlines())


def test_dry_run_prints_the_plan_and_makes_nothing(pictures, extract, disk, tmp_path):
    dataset = pictures(3)
    disk(2_000_000_000)
    planned = extract(dataset, "--dry-run", "--augs", 2, "--dtype", "uint8")
    plan = plan_of(dataset, plan=ViewPlan(2), dtype="uint8")
    found = fields(planned.stdout)
    rate = found.pop("speed")
    assert (planned.status, planned.stderr, os.listdir(tmp_path)) == (0, "", ["pictures"])
    assert re.fullmatch(r"[\d.]+ views/s, probed: weights untrained \(torchvision\), \w+ on \w+, batches of \d+", rate)
    assert found == {
        "images": "3",
        "views": "9, 3 an image",
        "bytes": f"{plan.needed_bytes} (0.00 GB) of uint8 and tables for t.h5",
        "free disk": "2000000000 (2.00 GB): enough",
        "time": "about 0 s",
    }


def test_dry_run_says_when_the_disk_is_too_small(pictures, extract, disk):
    disk(1_000_000)
    planned = extract(pictures(3), "--dry-run")
    assert (planned.status, fields(planned.stdout)["free disk"]) == (0, "1000000 (0.00 GB): NOT ENOUGH")


def test_dry_run_needs_split_lists_but_no_images(extract, tmp_path):
    (tmp_path / "set" / "splits").mkdir(parents=True)
    (tmp_path / "set" / "splits" / "train_1.txt").write_text("a.jpg 0.5\nb.jpg 0.25\n")
    for part in ("val", "test"):
        (tmp_path / "set" / "splits" / f"{part}_1.txt").write_text(f"{part}.jpg 0.5\n")
    dataset = load_dataset("lamem", tmp_path / "set")
    at = type(dataset)("lamem", tmp_path / "set", dataset.ids)
    planned = extract(at, "--dry-run", "--augs", 10, layout="lamem")
    assert (planned.status, fields(planned.stdout)["views"], os.listdir(tmp_path)) == (0, "44, 11 an image", ["set"])
    assert "found none of 4; say where with --root" in extract(at, layout="lamem").stderr


def test_dry_run_of_a_half_done_collection_leaves_it_as_it_is(pictures, extract, tmp_path):
    dataset = pictures(4)
    extract(dataset, "--limit", 3)
    before = (tmp_path / "t.h5").read_bytes()
    planned = extract(dataset, "--dry-run")
    found = fields(planned.stdout)
    assert (found["images"], found["bytes"].split()[0]) == ("1", str(2 * FLOAT_VIEW))
    assert (tmp_path / "t.h5").read_bytes() == before
    extract(dataset)
    done = fields(extract(dataset, "--dry-run").stdout)
    assert (done["images"], done["bytes"].split()[0], done["time"]) == ("0", "0", "about 0 s")


def test_dry_run_keeps_a_collection_that_is_to_be_overwritten(pictures, extract, tmp_path):
    dataset = pictures(2)
    extract(dataset)
    before = (tmp_path / "t.h5").read_bytes()
    planned = extract(dataset, "--dry-run", "--overwrite")
    assert (fields(planned.stdout)["images"], (tmp_path / "t.h5").read_bytes()) == ("2", before)


def test_dry_run_refuses_what_the_command_itself_would(pictures, extract):
    dataset = pictures(2)
    extract(dataset, "--limit", 1)
    refused = extract(dataset, "--dry-run", "--seed", 4)
    assert (refused.status, refused.stdout, "seed: expected 4, found 0" in refused.stderr) == (2, "", True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (89, "1 min"), (3540, "59 min"), (3600, "1 h 0 min"),
     (12_000, "3 h 20 min"), (47.4 * 3600, "47 h 24 min"), (48 * 3600, "2 days 0 h"), (90 * 3600, "3 days 18 h")],
)  # fmt: skip
def test_durations_are_said_in_their_two_largest_units(seconds, text):
    assert duration(seconds) == text


def test_probe_counts_every_batch_and_all_of_its_time(monkeypatch, trunk):
    now = [0.0]
    monkeypatch.setattr("extract.planning.time.perf_counter", lambda: now[0])

    def taking_half_a_second(pixels):
        now[0] += 0.5
        return trunk(pixels)

    assert probe_rate(taking_half_a_second, 8) == 16.0


def test_pictures_are_probed_by_the_views_that_are_cut_in_all_of_their_time(monkeypatch, pictures):
    now, dataset = [0.0], pictures(4)
    monkeypatch.setattr("extract.planning.time.perf_counter", lambda: now[0])

    def taking_half_a_second(_, row):
        now[0] += 0.5
        return Cut(row, ImageFacts(), pixels=None if row == 2 else np.zeros((3, 8, 8, 3), np.uint8))

    monkeypatch.setattr(Cutter, "__call__", taking_half_a_second)
    cutter = Cutter(dataset, ViewPlan(2), 0)
    assert probe_pictures(cutter, range(4), 1) == 3 * 3 / 2.0  # of four images one fails
    assert probe_pictures(cutter, [2], 1) == probe_pictures(cutter, [], 1) == np.inf


@pytest.mark.parametrize(
    ("pictures_rate", "speed", "limit", "time"),
    [(5.0, "5.0", True, "about 10 min"), (20.0, "10.0", False, "about 5 min"), (np.inf, "10.0", False, "about 5 min")],
)
def test_the_slower_of_trunk_and_pictures_is_promised(pictures_rate, speed, limit, time):
    plan = Plan(images=1000, views=3, feature_bytes=1, table_bytes=1, free_bytes=None)
    lines = plan_lines(plan, "float16", Path("t.h5"), Rates(10.0, pictures_rate, 2), "here")
    found = fields("\n".join(lines))
    assert (found["speed"], found["time"]) == (f"{speed} views/s, probed: here", time)
    told = "pictures, of which 2 workers read and cut 5.0 views/s; the trunk takes 10.0"
    assert found.get("limit") == (told if limit else None)


@pytest.mark.parametrize(("trunk", "read_and_cut", "promised"), [(100.0, 40.0, "40.0"), (30.0, 40.0, "30.0")])
def test_dry_run_promises_the_slower_of_both_probes(pictures, extract, monkeypatch, trunk, read_and_cut, promised):
    monkeypatch.setattr("extract.running.probe_rate", lambda *_: trunk)
    monkeypatch.setattr("extract.running.probe_pictures", lambda *_: read_and_cut)
    found = fields(extract(pictures(3), "--dry-run", "--augs", 999, "--workers", 2).stdout)
    assert found["speed"].startswith(f"{promised} views/s, probed: ")
    assert found["time"] == f"about {duration(3000 / float(promised))}"
    told = "pictures, of which 2 workers read and cut 40.0 views/s; the trunk takes 100.0"
    assert found.get("limit") == (told if trunk > read_and_cut else None)


def test_pictures_are_probed_from_the_file_to_the_view(pictures):
    dataset = pictures(3)
    cutter = Cutter(dataset, ViewPlan(2), 0)
    assert 0 < probe_pictures(cutter, range(3), 2) < np.inf
    assert {stage for stage, seconds in cutter.clock.seconds.items() if seconds > 0} == {READ, DECODE, CUT}
