"""`--shard I/N`: parts of the rows that several processes fill, in one file or in parts that are linked."""

import os
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.writer import RowWriter
from amnet_common.errors import ConfigError
from extract import opening
from extract.request import Shard


@given(st.integers(0, 10**6), st.integers(1, 300))
def test_shards_are_neighbours_that_cover_every_row_once(total, count):
    ranges = [Shard(number, count).rows(total) for number in range(1, count + 1)]
    assert (ranges[0].start, ranges[-1].stop) == (0, total)
    assert all(one.stop == other.start for one, other in pairwise(ranges))
    sizes = [len(rows) for rows in ranges]
    assert (sum(sizes), max(sizes) - min(sizes) <= 1) == (total, True)


@pytest.mark.parametrize("text", ["", "1", "/", "1/", "a/2", "1/2/3", "-1/2", "1.5/2", " 1/2", "1/2\n"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match=re.escape(f"--shard: expected I/N, such as 2/4, found {text!r}")):
        Shard.parse(text)


@pytest.mark.parametrize("text", ["0/2", "3/2", "0/0", "1/0"])
def test_shard_outside_of_its_count_is_refused(text):
    with pytest.raises(ConfigError, match=f"--shard: expected I/N with I from 1 to N, found {text}"):
        Shard.parse(text)


def test_shard_is_read_as_it_is_written():
    assert (Shard.parse("2/4"), Shard.parse("007/10").rows(20)) == (Shard(2, 4), range(12, 14))


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shards_fill_one_file_to_the_bytes_of_one_run(pictures, extract, unlike_rows, count):
    dataset = pictures(7, broken=(2,))
    runs = [extract(dataset, "--shard", f"{number}/{count}") for number in range(count, 0, -1)]
    assert [run.status for run in runs] == [int(2 in Shard(n, count).rows(7)) for n in range(count, 0, -1)]
    assert (sum(run.views for run in runs), ", 0 pending, " in runs[-1].stdout) == (12, True)
    extract(dataset, "--out", "whole.h5")
    assert unlike_rows("t.h5", "whole.h5") == []


def test_summary_of_a_shard_counts_its_own_rows_and_what_is_pending_elsewhere(pictures, extract):
    dataset = pictures(5, broken=(0,))
    assert "t.h5: 1 images done (1 now), 1 failed, 3 pending, " in extract(dataset, "--shard", "1/2").stdout
    assert "t.h5: 3 images done (3 now), 0 failed, 0 pending, " in extract(dataset, "--shard", "2/2").stdout


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_linked_part_files_equal_one_run(pictures, extract, tmp_path, dtype):
    dataset = pictures(6, broken=(1,))
    rows = [f"{id_},0.{i},{('train', 'test', '')[i % 3]}" for i, id_ in enumerate(dataset.ids)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,score,split", *rows]) + "\n")
    options = ("--labels", "labels.csv", "--dtype", dtype)
    for number in (1, 2, 3):
        extract(dataset, *options, "--out", f"{number}.h5", "--shard", f"{number}/3", layout="csv")
    extract(dataset, *options, "--out", "whole.h5", layout="csv")
    linked = link([tmp_path / f"{number}.h5" for number in (1, 2, 3)], tmp_path / "t.h5").collection
    whole = Collection("whole.h5")
    assert (linked.ids, linked.spec, linked.status.tolist()) == (whole.ids, whole.spec, [1, 2, 1, 1, 1, 1])
    for name in ("labels", "images", "boxes", "checksums"):
        np.testing.assert_array_equal(getattr(linked, name), getattr(whole, name))
    assert list(linked.splits) == list(whole.splits) == ["test_1", "train_1"]
    for name, split in whole.splits.items():
        np.testing.assert_array_equal(linked.split(name).rows, split.rows)
        np.testing.assert_array_equal(linked.split(name).scores, split.scores)
    done = [0, 2, 3, 4, 5] * 2
    views = np.repeat([0, 1], 5)
    np.testing.assert_array_equal(linked.read(done, views, check=True), whole.read(done, views, check=True))


def test_second_process_on_the_same_rows_is_refused_with_one_line(pictures, extract, tmp_path):
    dataset = pictures(4)
    extract(dataset, "--limit", 1)
    with RowWriter(tmp_path / "t.h5", 0, 2):
        for options in ((), ("--shard", "1/2"), ("--shard", "2/3", "--limit", 2)):
            second = extract(dataset, *options)
            assert (second.status, second.stdout, second.views) == (75, "", 0)
            message = (
                r"main: t\.h5: expected rows \d to \d for this process alone, found another writing there; wait, or .*"
            )
            assert re.fullmatch(message, second.stderr.splitlines()[-1])
            assert "Traceback" not in second.stderr
        assert extract(dataset, "--shard", "2/2").status == 0
    assert extract(dataset).views == 2


def test_shard_without_rows_is_done_at_once(pictures, extract):
    dataset = pictures(2)
    empty = extract(dataset, "--shard", "1/3")
    assert (empty.status, empty.views, os.path.exists("t.h5")) == (0, 0, True)
    assert "t.h5: 0 images done (0 now), 0 failed, 2 pending, nothing to do" in empty.stdout


def test_limit_counts_from_the_first_row_of_the_file(pictures, extract):
    dataset = pictures(6)
    assert extract(dataset, "--shard", "2/2", "--limit", 4).views == 2
    assert Collection("t.h5").status.tolist() == [0, 0, 0, 1, 0, 0]
    assert extract(dataset, "--shard", "2/2", "--limit", 2).views == 0


def test_summary_counts_what_other_processes_have_filled_meanwhile(pictures, extract, monkeypatch):
    dataset, load = pictures(4), opening.FrozenTrunk

    class Beside(load):
        def __call__(self, pixels):
            if opening.FrozenTrunk is Beside:
                opening.FrozenTrunk = load
                extract(dataset, "--shard", "2/2")
            return super().__call__(pixels)

    monkeypatch.setattr(opening, "FrozenTrunk", Beside)
    assert "t.h5: 2 images done (2 now), 0 failed, 0 pending, " in extract(dataset, "--shard", "1/2").stdout
