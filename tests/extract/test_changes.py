"""Image files that are others than when they were extracted are noticed: by size and time, then by content."""

import os

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.writer import nearest_mtime
from amnet_common.errors import MissingRowsError
from extract import opening


def touch(path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


@pytest.fixture
def begun(pictures, extract):
    """Six pictures of one size, done; and the path of the third."""
    dataset = pictures(6, kind="BMP")
    assert extract(dataset).status == 0
    return dataset, dataset.image_root / "002.bmp"


def test_touched_file_of_the_same_content_is_the_same(begun, extract):
    dataset, path = begun
    touch(path)
    again = extract(dataset)
    assert (again.status, again.stderr, "nothing to do" in again.stdout) == (0, "", True)


@pytest.mark.parametrize("size", [(64, 60), (90, 70)])
def test_changed_file_is_refused_by_name_and_nothing_is_done(begun, extract, draw, tmp_path, size):
    dataset, path = begun
    draw(path, size=size)
    touch(path)
    before = (tmp_path / "t.h5").read_bytes()
    again = extract(dataset)
    assert (again.status, again.stdout, again.views) == (2, "", 0)
    message = "main: --out t.h5: expected the image files that it was extracted from, found 1 changed since: 002.bmp; "
    assert again.stderr == message + "--update extracts these anew\n"
    assert (tmp_path / "t.h5").read_bytes() == before


def test_change_of_size_is_noticed_even_if_the_time_is_the_same(begun, extract, draw):
    dataset, path = begun
    draw(path, size=(65, 60), keep_time=True)
    assert "1 changed since: 002.bmp; " in extract(dataset).stderr


def test_change_that_keeps_size_and_time_is_noticed_with_rehash(begun, extract, draw):
    dataset, path = begun
    draw(path, keep_time=True)
    assert extract(dataset).status == 0
    assert "1 changed since: 002.bmp; " in extract(dataset, "--rehash").stderr
    updated = extract(dataset, "--rehash", "--update")
    assert (updated.status, updated.views, extract(dataset, "--rehash").status) == (0, 2, 0)


def test_only_the_first_changed_files_are_named(begun, extract, draw):
    dataset, _ = begun
    for id_ in dataset.ids:
        draw(dataset.image_root / id_, size=(70, 60))
    names = ", ".join(dataset.ids[:5])
    assert f"found 6 changed since: {names} and 1 more; --update" in extract(dataset).stderr


def test_files_outside_the_reach_of_the_command_are_not_compared(begun, extract, draw):
    dataset, path = begun
    draw(path, size=(70, 60))
    assert extract(dataset, "--limit", 2).status == extract(dataset, "--shard", "2/2").status == 0
    assert extract(dataset, "--limit", 3).status == extract(dataset, "--shard", "1/2").status == 2


def test_update_extracts_the_changed_rows_anew_and_leaves_the_others_as_they_are(begun, extract, draw, unlike_rows):
    dataset, _ = begun
    os.rename("t.h5", "old.h5")
    extract(dataset)
    for row in (2, 4):
        draw(dataset.image_root / dataset.ids[row], seed=50 + row, size=(70, 60))
    updated = extract(dataset, "--update")
    assert (updated.status, updated.views) == (0, 4)
    assert "t.h5: 6 images done (2 now), 0 failed, 0 pending" in updated.stdout
    assert unlike_rows("t.h5", "old.h5") == [2, 4]
    extract(dataset, "--out", "whole.h5")
    assert unlike_rows("t.h5", "whole.h5") == []
    assert extract(dataset, "--update").views == 0


def test_changed_row_is_never_readable_with_bytes_of_both_files(begun, extract, draw, monkeypatch):
    dataset, path = begun
    draw(path, size=(70, 60))
    statuses, load = [], opening.FrozenTrunk

    class Looking(load):
        def __call__(self, _):
            collection = Collection("t.h5")
            statuses.append(collection.status.tolist())
            with pytest.raises(MissingRowsError, match=r"features of row 2 \(002\.bmp\), found it pending"):
                collection.read(2)
            raise KeyboardInterrupt

    monkeypatch.setattr(opening, "FrozenTrunk", Looking)
    assert (extract(dataset, "--update").status, statuses) == (130, [[1, 1, 0, 1, 1, 1]])
    monkeypatch.setattr(opening, "FrozenTrunk", load)
    rest = extract(dataset)  # the row is pending now: there is nothing to update any more
    assert (rest.status, rest.views) == (0, 2)


def test_file_that_is_no_picture_any_more_fails_when_updated(begun, extract):
    dataset, path = begun
    path.write_bytes(b"no picture")
    assert extract(dataset).status == 2
    updated = extract(dataset, "--update")
    assert (updated.status, Collection("t.h5").status.tolist()) == (1, [1, 1, 2, 1, 1, 1])
    assert "failed: 002.bmp: not an image that Pillow can identify\n" in updated.stderr


@pytest.mark.parametrize("options", [(), ("--rehash",), ("--update",), ("--rehash", "--update"), ("--retry-failed",)])
def test_features_of_files_that_are_gone_stay_good(begun, extract, options):
    dataset, path = begun
    wanted = Collection("t.h5").read(2)
    path.unlink()
    (dataset.image_root / "004.bmp").unlink()
    (dataset.image_root / "004.bmp").mkdir()
    with open(dataset.image_root.parent / "labels.csv", "w") as file:
        file.write("id,score\n" + "".join(f"{id_},\n" for id_ in dataset.ids))
    again = extract(dataset, *options, "--labels", file.name, layout="csv")
    assert (again.status, again.views) == (0, 0)
    assert again.stderr == "note: 2 image files cannot be read any more; their features stay good\n"
    np.testing.assert_array_equal(Collection("t.h5").read(2), wanted)


def test_image_root_may_move_as_a_whole(begun, extract, tmp_path):
    dataset, _ = begun
    os.rename(dataset.image_root, tmp_path / "moved")
    moved = type(dataset)("folder", tmp_path / "moved", dataset.ids)
    assert extract(moved).status == 0


def test_mended_file_is_noted_and_update_extracts_it(pictures, extract, draw, unlike_rows):
    dataset = pictures(4, broken=(1, 3))
    extract(dataset)
    draw(dataset.image_root / "001.png")
    noted = extract(dataset)
    assert (noted.status, noted.views) == (1, 0)
    assert noted.stderr == "note: 1 of the failed images have other files now; --update tries these again\n"
    updated = extract(dataset, "--update")
    assert (updated.status, updated.views) == (1, 2)
    assert updated.stderr.endswith("note: 1 images failed before; --retry-failed tries them again\n")
    extract(dataset, "--out", "whole.h5")
    assert unlike_rows("t.h5", "whole.h5") == []


def test_missing_file_that_is_there_now_is_noted(pictures, extract, draw):
    dataset = pictures(2)
    (dataset.image_root.parent / "labels.csv").write_text("id,score\n000.png,\nlate.png,\n")
    options = ("--labels", "labels.csv")
    assert extract(dataset, *options, layout="csv").status == 1
    draw(dataset.image_root / "late.png")
    assert "note: 1 of the failed images have other files now" in extract(dataset, *options, layout="csv").stderr
    updated = extract(dataset, *options, "--update", layout="csv")
    assert (updated.status, "2 images done (1 now)" in updated.stdout) == (0, True)


def test_row_done_anew_counts_as_computed_on_the_kernels_of_this_command(begun, extract, draw):
    dataset, path = begun
    draw(path, size=(70, 60))
    assert "batch_size: expected 8, found 3" in extract(dataset, "--update", "--batch-size", 3).stderr
    assert extract(dataset, "--update", "--batch-size", 3, "--allow-other-kernels").status == 0
    kernels = Collection("t.h5").images["kernels"].tolist()
    assert len({*kernels[:2], *kernels[3:]}) == 1
    assert kernels[2] != kernels[1]


@pytest.mark.parametrize("year", [1601, 2300])
def test_files_dated_beyond_what_a_row_holds_are_extracted_and_known_again(pictures, extract, draw, year):
    dataset = pictures(3, kind="BMP")
    path, seconds = dataset.image_root / "001.bmp", round((year - 1970) * 365.2425 * 86400)
    os.utime(path, ns=(0, seconds * 10**9))
    if path.stat().st_mtime_ns != seconds * 10**9:
        pytest.skip(f"this file system has no year {year}")
    assert extract(dataset).status == 0
    limits = np.iinfo(np.int64)
    assert Collection("t.h5").images["mtime_ns"][1] == (limits.min if year < 1970 else limits.max)
    again = extract(dataset)
    assert (again.status, "nothing to do" in again.stdout, again.views) == (0, True, 0)
    draw(path, keep_time=True)
    assert "1 changed since: 001.bmp; " in extract(dataset).stderr
    assert extract(dataset, "--update").views == 2
    assert "nothing to do: every image is in t.h5" in extract(dataset, "--except", "t.h5", "--out", "new.h5").stdout


@pytest.mark.parametrize("stamp", [-(2**70), -(2**63) - 1, 2**63, 2**70])
def test_times_outside_int64_are_the_nearest_that_it_holds(stamp):
    assert nearest_mtime(stamp) == (-(2**63) if stamp < 0 else 2**63 - 1)
    assert nearest_mtime(stamp % 1000) == stamp % 1000
