"""Image files that are missing from the beginning, and a disk that goes away in the middle."""

import errno
import os
import shutil

import pytest

from amnet_common.collection import Collection
from amnet_common.collection.writer import ImageFacts
from amnet_common.errors import ImageError
from amnet_common.images import source
from extract.lasting import IN_A_ROW, Lasting, lost_for
from extract.pipeline import Cut


def read(row):
    return Cut(row, ImageFacts())


def failed(row, number):
    return Cut(row, ImageFacts(), error="no", lost=number)


def labelled(dataset, tmp_path, *more):
    """A label table of a dataset's images, and of more that are not there."""
    lines = [f"{id_},{row}" for row, id_ in enumerate((*dataset.ids, *more))]
    (tmp_path / "labels.csv").write_text("\n".join(["id,score", *lines]))
    return ("--labels", tmp_path / "labels.csv")


def test_missing_files_are_counted_before_the_extraction_and_are_no_work(pictures, extract, tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr("extract.cli.progress", lambda *words: bars.append(Bar(*words)) or bars[0])
    dataset = pictures(3)
    words = labelled(dataset, tmp_path, "000x.png", "zzz.png")
    planned = extract(dataset, "--dry-run", *words, layout="csv")
    line = f"2 of 5 images have no file below {dataset.image_root}, such as '000x.png'; did you mean '000.png'?"
    assert f"\nmissing    {line}\n" in planned.stdout
    result = extract(dataset, *words, layout="csv")
    assert (result.status, f"note: {line}; they will fail\n" in result.stderr) == (1, True)
    assert Collection("t.h5").status.tolist() == [1, 1, 1, 2, 2]
    assert (bars[0].total, bars[0].seen) == (6, 6)


class Bar:
    """A progress bar that counts."""

    def __init__(self, _, total, __):
        self.total, self.seen = total, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, count):
        self.seen += count

    def set_postfix(self, **_):
        pass


def test_dry_run_says_that_no_image_is_there(pictures, extract, tmp_path):
    dataset = pictures(3)
    words = labelled(dataset, tmp_path)
    shutil.rmtree(dataset.image_root)
    planned = extract(dataset, "--dry-run", *words, layout="csv")
    assert planned.status == 0
    assert "\nmissing    3 of 3 images have no file below " in planned.stdout


def test_a_disk_that_goes_away_stops_the_extraction_and_keeps_what_is_done(pictures, extract, monkeypatch):
    dataset, whole = pictures(40), source.read_source
    aside = dataset.image_root.with_name("aside")

    pulled = []

    def read_until_pulled(path):
        if path.name == "020.png" and not pulled:
            pulled.append(os.rename(dataset.image_root, aside))
        return whole(path)

    monkeypatch.setattr("extract.pipeline.read_source", read_until_pulled)
    stopped = extract(dataset, "--workers", 1)
    assert stopped.status == 75
    assert stopped.stderr.splitlines()[-1].endswith(
        f"{dataset.image_root}: the images cannot be read any more, since '020.png' (missing file): is the disk gone? "
        "t.h5 keeps what is finished; the same command again goes on from there"
    )
    assert Collection("t.h5").status.tolist() == [1] * 20 + [0] * 20
    os.rename(aside, dataset.image_root)
    assert extract(dataset).status == 0
    assert set(Collection("t.h5").status) == {1}


@pytest.fixture
def lasting(tmp_path):
    """A Lasting of a hundred images of which the first is there."""
    (tmp_path / "0").touch()
    return Lasting(tmp_path, tuple(map(str, range(100))), missing={50, 51, 52})


def given(lasting, attempts):
    return [one.row for one in lasting(one for one in attempts)]


def test_many_images_in_a_row_that_the_disk_does_not_give_are_its_end(lasting):
    attempts = [read(0), *(failed(row, errno.EIO) for row in range(1, 100))]
    assert given(lasting, attempts) == [0]
    assert "since '1' (" in lasting.lost


@pytest.mark.parametrize("attempts", [
    [read(0), *(failed(row, errno.EIO) for row in range(1, IN_A_ROW)), read(IN_A_ROW)],  # a few bad sectors
    [read(0), *(failed(row, errno.EIO) for row in range(1, IN_A_ROW))],  # at the end
    [read(0), *(failed(row, errno.ENOENT) for row in range(1, 99))],  # removed one by one: the first is still there
    [*(failed(row, errno.EIO) for row in range(99))],  # nothing could be read from the beginning
    [read(0), *(failed(row, 0) for row in range(1, 99))],  # damaged files, or no right to read them
    [failed(50, errno.ENOENT), read(0), failed(51, errno.ENOENT), failed(52, errno.ENOENT)],
])  # fmt: skip
def test_images_that_fail_for_themselves_fail(lasting, attempts):
    assert sorted(given(lasting, attempts)) == sorted(one.row for one in attempts)
    assert lasting.lost == ""


def test_a_root_that_is_gone_before_any_image_is_read_is_the_end_as_well(tmp_path):
    lasting = Lasting(tmp_path / "gone", ("a", "b"))
    assert given(lasting, [failed(0, errno.ENOENT), failed(1, errno.ENOENT)]) == []
    assert lasting.lost


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path):
    with pytest.raises(ImageError) as caught:
        source.read_source(tmp_path / "no.jpg")
    assert lost_for(caught.value) == errno.ENOENT
    assert lost_for(ImageError("damaged")) == 0
