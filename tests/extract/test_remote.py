"""Images of an object store, read from a real S3 server on this machine: the bytes of a folder, whatever fails."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from amnet_common import remote
from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, FAILED, PENDING
from amnet_common.datasets import load_dataset
from amnet_common.errors import DatasetError, ExtraError
from amnet_common.remote import Facts, facts_of, is_remote, url_of
from tests.extract.fresh import assert_equal
from tests.support.s3 import Proxy

fsspec = pytest.importorskip("fsspec", reason="fsspec, of the extra remote, is not installed")


@pytest.fixture
def store(s3, pictures):
    """A bucket of pictures as a folder of this machine, its address, and the server."""
    root, bucket = pictures(6, broken=(4,), kind="PNG").image_root, s3.bucket()
    os.rename(root, bucket / "photos")
    return bucket / "photos", f"s3://{bucket.name}/photos", s3


def run(extract, root, *options):
    class Here:
        image_root = root

    return extract(Here, *options)


def test_store_gives_the_bytes_of_the_folder(store, extract, draw):
    folder, url, _ = store
    (folder / "a/b").mkdir(parents=True)
    draw(folder / "a/b/deep.png", seed=3)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"text")
    found = run(extract, url)
    assert (found.status, "left aside, no image's suffix: 1 .txt" in found.stderr) == (1, True)
    run(extract, folder, "--out", "local.h5")
    assert_equal(Collection("t.h5"), Collection("local.h5"))
    assert Collection("t.h5").provenance["image_root"] == url
    assert str(Collection("t.h5").image_path(0)).startswith("s3:/")


def test_what_is_finished_is_not_read_again(store, extract, monkeypatch):
    _, url, _ = store
    run(extract, url)
    monkeypatch.setattr("amnet_common.images.source.read_object", lambda path: pytest.fail(f"{path} is read again"))
    assert run(extract, url).views == 0


def test_sync_follows_a_store(store, extract, draw, tmp_path):
    folder, url, _ = store
    run(extract, url, "--sync", "--augs", "0")
    bucket = fsspec.filesystem("s3")
    draw(tmp_path / "new.png", seed=11)
    draw(tmp_path / "001.png", seed=12)
    for name in ("new.png", "001.png"):
        bucket.put_file(tmp_path / name, f"{url}/{name}")
    bucket.pipe_file(f"{url}/renamed.png", bucket.cat_file(f"{url}/002.png"))
    bucket.rm([f"{url}/002.png", f"{url}/003.png"])
    found = run(extract, url, "--sync", "--augs", "0")
    assert "6 images: 3 as they were, 1 new, 1 changed, 1 renamed; 1 gone\n" in found.stderr
    run(extract, folder, "--out", "local.h5", "--augs", "0")
    assert_equal(Collection("t.h5"), Collection("local.h5"))


def test_server_that_fails_every_tenth_request_fails_no_image(store, extract):
    folder, url, s3 = store
    proxy = Proxy(s3.server.port, lambda number: number % 10 == 0)
    s3.ask(proxy.port)
    for number in range(20):
        (folder / f"copy{number}.png").write_bytes((folder / "000.png").read_bytes())
    assert run(extract, url).status == 1
    proxy.end()
    assert proxy.failed > 1
    assert [Collection("t.h5").ids[row] for row in np.flatnonzero(Collection("t.h5").status == FAILED)] == ["004.png"]


def test_server_that_dies_ends_the_command_with_75_and_what_is_done_is_kept(store, extract):
    folder, url, s3 = store
    for number in range(40):
        (folder / f"copy{number:02}.png").write_bytes((folder / "000.png").read_bytes())
    proxy = Proxy(s3.server.port, lambda number: number > 30)
    s3.ask(proxy.port)
    with s3.impatient():
        found = run(extract, url, "--workers", "1")
    proxy.end()
    assert (found.status, "the images cannot be read any more" in found.stderr) == (75, True)
    status = Collection("t.h5").status
    assert (status == DONE).any()
    assert (status == PENDING).any()
    s3.ask(s3.server.port)
    assert run(extract, url).status == 1
    run(extract, folder, "--out", "local.h5")
    assert_equal(Collection("t.h5"), Collection("local.h5"))


def test_store_that_cannot_be_listed_is_one_line(store, extract):
    _, url, s3 = store
    s3.ask(1)
    with s3.impatient():
        found = run(extract, url)
    assert found.status in (2, 75)
    assert found.stderr.count("\n") == 1
    assert f"--root {url}: expected to list it, found: " in found.stderr


@pytest.fixture
def memory():
    """An object store in this process."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    remote.list_anew()
    files.pipe_file("/photos/a/one.jpg", b"1")
    files.pipe_file("/photos/@eaDir/thumb.jpg", b"2")
    files.pipe_file("/photos/two.PNG", b"22")
    return files


@pytest.mark.usefixtures("memory")
def test_folders_of_a_store_are_chosen_as_those_of_a_disk():
    dataset = load_dataset("folder", Path("memory://photos"))
    assert dataset.ids == ("a/one.jpg", "two.PNG")
    assert "left out, 1 folders of thumbnails" in dataset.notes[0]


@pytest.mark.usefixtures("memory")
def test_root_without_images_is_refused():
    with pytest.raises(DatasetError, match="expected at least one image"):
        load_dataset("folder", Path("memory://nothing"))


def test_time_of_an_object_tells_its_etag_too():
    when = datetime(2026, 1, 2, tzinfo=UTC)
    one, two = (facts_of({"size": 5, "LastModified": when, "ETag": tag}) for tag in ('"a"', '"b"'))
    assert (one.size, one.mtime_ns // 10**9, one != two) == (5, int(when.timestamp()), True)
    assert facts_of({"size": 5, "LastModified": when.isoformat(), "ETag": '"a"'}) == one
    assert facts_of({"size": None, "name": "x"}) == Facts(0, 0)


@pytest.mark.parametrize(
    ("path", "remote_one"),
    [
        ("s3://b/x", True),
        ("s3:/b/x", True),
        ("hf://sets/x", True),
        ("/s3/x", False),
        ("photos", False),
        ("C:/x", False),
    ],
)
def test_which_paths_are_remote(path, remote_one):
    assert is_remote(path) == remote_one
    if remote_one:
        assert url_of(path).count("://") == 1


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ExtraError, match=r"pip install 'amnet\[remote\]'"):
        remote.Store("s3://bucket/photos")
