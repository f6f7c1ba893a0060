"""Single flipped bits anywhere in a finished file: `verify` finds each, and no reader takes changed bytes for good.

Left out are the features of failed rows, which are never written and never served.
"""

import random
import shutil
from collections import Counter

import h5py
import numpy as np
import pytest

from amnet_common.collection.layout import DONE

SECONDS = 120  # for one look at a file of some 12 MB
Ranges = list[tuple[int, int]]


def areas(path) -> dict[str, Ranges]:
    """Byte ranges of everything in the file, by what they hold."""
    with h5py.File(path) as file:
        places = {name: (item.id.get_offset(), item.nbytes) for name, item in _contiguous(file)}
        record, done = file["images"].dtype, np.flatnonzero(file["images"]["status"] == DONE).tolist()
        rows = len(file["images"])
    found = {name.split("/")[0]: [] for name in places if name not in ("images", "segments/0000")}
    for name, (offset, size) in places.items():
        if name not in ("images", "segments/0000"):
            found[name.split("/")[0]].append((offset, offset + size))
    offset, size = places["segments/0000"]
    found["features"] = [(offset + row * size // rows, offset + (row + 1) * size // rows) for row in done]
    ids, step, start = record["id"].itemsize, record.itemsize, places["images"][0]
    found["ids"] = [(start + row * step, start + row * step + ids) for row in range(rows)]
    found["marks"] = [(start + row * step + ids, start + (row + 1) * step) for row in range(rows)]
    return found | _structure(path, sorted((offset, offset + size) for offset, size in places.values()))


def _contiguous(file):
    items: list[tuple[str, h5py.Dataset]] = []
    file.visititems(lambda name, item: items.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return [(name, item) for name, item in items if item.id.get_offset() is not None]


def _structure(path, taken: Ranges) -> dict[str, Ranges]:
    """What lies between the tables: bytes of HDF5's own, and padding, which are zeros."""
    data = np.memmap(path, np.uint8, "r")
    gaps, start = [], 0
    for begin, end in [*taken, (len(data), len(data))]:
        gaps += [np.arange(start, begin)]
        start = end
    outside = np.concatenate(gaps)
    used = data[outside] != 0
    return {name: [(at, at + 1) for at in outside[chosen].tolist()]
            for name, chosen in (("HDF5 structure", used), ("padding", ~used))}  # fmt: skip


def random_byte(ranges: Ranges, rng: random.Random) -> int:
    """Each byte of the ranges is as likely."""
    begin, end = rng.choices(ranges, [end - begin for begin, end in ranges])[0]
    return rng.randrange(begin, end)


def ready_looker(worker, path):
    """One that has read the whole file."""
    looker = worker("looker.py", path)
    assert looker.answer(SECONDS) == "ready"
    return looker


@pytest.mark.parametrize(
    ("images", "flips", "options"),
    [
        pytest.param(4, 40, (), id="few"),
        pytest.param(10, 500, (), id="float16", marks=pytest.mark.faults),
        pytest.param(10, 250, ("--dtype", "uint8"), id="uint8", marks=pytest.mark.faults),
    ],
)
def test_every_flipped_bit_is_found_and_none_is_served(
    images, flips, options, undisturbed, worker, flipped, figures, tmp_path
):
    path = tmp_path / "t.h5"
    shutil.copyfile(undisturbed(images, *options).out, path)
    where, rng = areas(path), random.Random(f"bits {options}")
    counts = {name: Counter() for name in where}
    looker, bad = ready_looker(worker, path), []
    for number in range(flips):
        name = list(where)[number % len(where)]
        offset, bit = random_byte(where[name], rng), rng.randrange(8)
        with flipped(path, offset, bit):
            looker.ask("look")
            found = looker.answer(SECONDS)
        counts[name].update(outcome(found))
        if not found.get("status") or found.get("wrong") or found["traceback"]:
            bad.append((name, offset, bit, found))
        if "status" not in found:
            looker.close()
            looker = ready_looker(worker, path)
    for name, count in counts.items():
        figures.add(f"Single flipped bits, {' '.join(options) or '--dtype float16'}", area=name, bits=count["bits"],
                    **{head: count[head] for head in HEADS})  # fmt: skip
    assert bad == []
    looker.ask("look")
    assert looker.answer(SECONDS)["status"] == 0  # every bit is back in its place


BY = {"opening": "refused_on_opening", "seal": "found_by_the_integrity_hash", "mark": "found_by_a_mark",
      "checksum": "found_by_a_checksum"}  # fmt: skip
HEADS = (*BY.values(), "not_found", "hung", "crashed", "served_as_good")


def outcome(found: dict) -> list[str]:
    """What is counted of one flipped bit."""
    if "status" not in found:
        return ["bits", "hung" if "hang" in found else "crashed"]
    names = ["bits", BY[found["by"]] if found["status"] else "not_found"]
    names += ["crashed"] if found["traceback"] else []
    return names + (["served_as_good"] if found["wrong"] else [])


@pytest.mark.parametrize("images", [4])
def test_features_of_failed_rows_mean_nothing(images, undisturbed, worker, flipped, tmp_path):
    path = tmp_path / "t.h5"
    shutil.copyfile(undisturbed(images).out, path)
    with h5py.File(path) as file:
        segment, row = file["segments/0000"], int(np.flatnonzero(file["images"]["status"] != DONE)[0])
        offset = segment.id.get_offset() + row * segment.nbytes // len(segment)
    looker = ready_looker(worker, path)
    with flipped(path, offset, 3):
        looker.ask("look")
        assert looker.answer(SECONDS) == {"status": 0, "by": "", "traceback": "", "wrong": [], "refused": False}
