"""Collections that are made for an object store: filled here, sent when every byte holds, the bytes of a folder's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.mirror import cache_folder
from amnet_common.collection.verify import verify_rows, verify_structure
from extract import in_store
from tests.extract.fresh import assert_equal
from tests.support.s3 import Proxy

LIGHT = Path(__file__).parents[1] / "support" / "light_extract.py"
OUT = "s3://{}/made/photos.h5"


class Bucket:
    """A bucket, whose `out` a command is to make: `file` is what becomes of it."""

    def __init__(self, s3, cache, monkeypatch):
        self.folder, self.server, self.ask, self.impatient = s3.bucket(), s3.server, s3.ask, s3.impatient
        self._caches, self._monkeypatch = cache, monkeypatch
        self.out, self.file = OUT.format(self.folder.name), self.folder / "made/photos.h5"

    def other_machine(self, name="other"):
        self._monkeypatch.setenv("AMNET_CACHE", str(self._caches / name))

    def here(self):
        """The file of this machine that stands for `out`; None if there is none."""
        return next(cache_folder().glob("out/*/photos.h5"), None)


@pytest.fixture
def bucket(s3, tmp_path, monkeypatch):
    return Bucket(s3, tmp_path, monkeypatch)


def interrupted(*_):
    raise KeyboardInterrupt


def whole(path):
    collection = Collection(path)
    rows = [row for part in collection.parts for row in verify_rows(part)]
    return not verify_structure(path, collection) and not any(row.problems for row in rows)


def assert_as_fresh(bucket, pictures, extract, *options):
    """What lies in the bucket is whole, and what an extraction into a file gives."""
    fresh = Path(f"fresh{len(list(Path.cwd().glob('fresh*')))}.h5")
    assert extract(pictures, "--out", str(fresh), *options).status in (0, 1)
    assert whole(bucket.file)
    assert_equal(Collection(bucket.file), Collection(fresh))


def test_file_of_a_store_has_the_bytes_of_one_here_and_nothing_stays_behind(bucket, pictures, extract):
    photos = pictures(6, broken=(4,))
    found = extract(photos, "--out", bucket.out)
    assert (found.status, f"{bucket.out}: 1 file sent, " in found.stdout) == (1, True)
    assert bucket.here() is None
    assert_as_fresh(bucket, photos, extract)
    assert_equal(Collection(bucket.out), Collection(bucket.file))


def test_the_same_command_does_nothing_more_also_from_another_machine(bucket, pictures, extract):
    photos = pictures(4)
    extract(photos, "--out", bucket.out)
    made = bucket.file.stat()
    for machine in ("cache", "other"):
        bucket.other_machine(machine)
        found = extract(photos, "--out", bucket.out)
        assert (found.status, found.views, f"{bucket.out}: nothing to send" in found.stdout) == (0, 0, True)
    assert os.path.samestat(bucket.file.stat(), made)


def test_what_is_killed_goes_on_here_and_is_sent_at_the_end(bucket, pictures, extract, monkeypatch):
    photos = pictures(6)

    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", interrupted)
        assert extract(photos, "--out", bucket.out).status == 130
    assert not bucket.file.exists()
    assert Collection(bucket.here()).status.all()
    found = extract(photos, "--out", bucket.out)
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh(bucket, photos, extract)


def test_command_that_was_killed_after_its_file_was_sent_is_done(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    with monkeypatch.context() as patch:
        patch.setattr(in_store, "settle", interrupted)
        assert extract(photos, "--out", bucket.out).status == 130
    assert bucket.file.exists()
    found = extract(photos, "--out", bucket.out)
    assert (found.status, found.views, "nothing to send" in found.stdout) == (0, 0, True)


def test_store_that_does_not_take_the_file_is_status_75_and_the_file_is_kept(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    proxy = Proxy(bucket.server.port, lambda _: False)
    usual = in_store.send_file

    def dying(*given):
        proxy.fails = lambda _: True
        return usual(*given)

    bucket.ask(proxy.port)
    with monkeypatch.context() as patch:
        patch.setattr(in_store, "send_file", dying)
        with bucket.impatient():
            found = extract(photos, "--out", bucket.out)
    proxy.end()
    assert found.status == 75
    assert "keeps what is done, and the same command sends it\n" in found.stderr
    assert not bucket.file.exists()
    bucket.ask(bucket.server.port)
    found = extract(photos, "--out", bucket.out)
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh(bucket, photos, extract)


def test_damaged_file_is_not_sent(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", lambda _, status: status)
        extract(photos, "--out", bucket.out)
    extent = Collection(bucket.here()).parts[0].planes.features
    with open(bucket.here(), "r+b") as file:
        file.seek(extent.at(1) + 5)
        file.write(b"\xff\xfe\xfd")
    found = extract(photos, "--out", bucket.out)
    assert found.status == 2
    assert "not sent: 001.png: row 1 view 0: the features do not match their checksum" in found.stderr
    assert not bucket.file.exists()


def test_object_that_has_come_meanwhile_is_not_replaced(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", lambda _, status: status)
        extract(photos, "--out", bucket.out)
    bucket.other_machine()
    extract(photos, "--out", bucket.out)
    theirs = bucket.file.read_bytes()
    bucket.other_machine("cache")
    found = extract(photos, "--out", bucket.out)
    assert (found.status, "expected the object that was there when " in found.stderr) == (2, True)
    assert extract(photos, "--out", bucket.out, "--overwrite", "--like", "missing.h5").status == 2
    assert extract(photos, "--out", bucket.out).status == 2
    assert bucket.file.read_bytes() == theirs
    found = extract(photos, "--out", bucket.out, "--overwrite")
    assert found.status == 0
    assert bucket.file.read_bytes() != theirs
    assert_as_fresh(bucket, photos, extract)


def test_overwrite_that_was_stopped_goes_on_without_the_word(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    extract(photos, "--out", bucket.out)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", lambda _, status: status)
        extract(photos, "--out", bucket.out, "--overwrite", "--augs", "2")
    assert Collection(bucket.file).views == 2
    assert extract(photos, "--out", bucket.out, "--augs", "2").status == 0
    assert Collection(bucket.file).views == 3


def test_file_of_a_store_is_not_filled_further(bucket, pictures, extract, draw):
    photos = pictures(3, broken=(1,))
    extract(photos, "--out", bucket.out)
    found = extract(photos, "--out", bucket.out, "--retry-failed")
    assert (found.status, "expected nothing left to do in a file that is in the store" in found.stderr) == (2, True)
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, "expected a collection that --sync has made, found one without parts" in found.stderr) == (
        2,
        True,
    )
    parts = bucket.folder / "made/photos.h5.parts"
    parts.mkdir()
    bucket.file.rename(parts / "0001.h5")  # as the line says
    draw(photos.image_root / "001.png", seed=5)
    found = extract(photos, "--out", bucket.out, "--sync", "--retry-failed")
    assert (found.status, len(list(parts.iterdir()))) == (0, 2)
    assert_as_fresh(bucket, photos, extract)


def change(photos, draw, night):
    root = photos.image_root
    draw(root / f"new{night}.png", seed=50 + night)
    draw(root / "000.png", seed=70 + night)
    os.rename(root / f"00{night}.png", root / f"renamed{night}.png")
    (root / "005.png").unlink(missing_ok=True)


@pytest.mark.parametrize("machine", ["one machine", "a new machine every night"])
def test_nights_send_a_part_and_the_link(bucket, pictures, extract, draw, machine):
    photos = pictures(8)
    options = ("--augs", "0")
    for night in range(1, 3):
        if machine != "one machine":
            bucket.other_machine(f"machine{night}")
        found = extract(photos, "--out", bucket.out, "--sync", *options)
        assert (found.status, "2 files sent" in found.stdout) == (0, True)
        assert len(list((bucket.folder / "made/photos.h5.parts").iterdir())) == night
        if night == 1:
            change(photos, draw, night)
    assert_as_fresh(bucket, photos, extract, *options)
    assert_equal(Collection(bucket.out), Collection(bucket.file))


def test_night_of_names_alone_sends_the_link_alone(bucket, pictures, extract):
    photos = pictures(4)
    extract(photos, "--out", bucket.out, "--sync", "--augs", "0")
    os.rename(photos.image_root / "000.png", photos.image_root / "zero.png")
    found = extract(photos, "--out", bucket.out, "--sync", "--augs", "0")
    assert (found.status, found.views, "1 file sent" in found.stdout) == (0, 0, True)
    assert_as_fresh(bucket, photos, extract, "--augs", "0")


def test_night_that_was_killed_between_part_and_link_goes_on(bucket, pictures, extract, draw, monkeypatch):
    photos = pictures(8)
    extract(photos, "--out", bucket.out, "--sync")
    change(photos, draw, 1)
    for point in ("settle", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(in_store, point, interrupted)
            assert extract(photos, "--out", bucket.out, "--sync").status == 130
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views) == (0, 0)
    assert len(list((bucket.folder / "made/photos.h5.parts").iterdir())) == 2
    assert_as_fresh(bucket, photos, extract)


def test_two_machines_at_once_lose_nothing(bucket, pictures, extract, draw, monkeypatch):
    photos = pictures(8)
    extract(photos, "--out", bucket.out, "--sync")
    change(photos, draw, 1)
    usual = in_store.InStore.send

    def other_first(self, status):
        monkeypatch.setattr(in_store.InStore, "send", usual)
        bucket.other_machine()
        assert extract(photos, "--out", bucket.out, "--sync").status == 0
        bucket.other_machine("cache")
        return self.send(status)

    monkeypatch.setattr(in_store.InStore, "send", other_first)
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, "run the same command again" in found.stderr) == (75, True)
    assert_as_fresh(bucket, photos, extract)
    change(photos, draw, 2)
    found = extract(photos, "--out", bucket.out, "--sync")
    assert found.status == 0
    assert_as_fresh(bucket, photos, extract)


def test_link_that_was_removed_from_the_store_is_made_again_of_its_parts(bucket, pictures, extract):
    photos = pictures(4)
    extract(photos, "--out", bucket.out, "--sync")
    bucket.file.unlink()
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh(bucket, photos, extract)


def test_what_was_begun_without_sync_is_not_lost_to_what_the_store_has_by_now(bucket, pictures, extract, monkeypatch):
    photos = pictures(4)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", interrupted)
        extract(photos, "--out", bucket.out)
    bucket.other_machine()
    (photos.image_root / "003.png").rename(photos.image_root.parent / "003.png")
    extract(photos, "--out", bucket.out, "--sync")
    (photos.image_root.parent / "003.png").rename(photos.image_root / "003.png")
    bucket.other_machine("cache")
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh(bucket, photos, extract)


@pytest.mark.slow
def test_nights_killed_at_any_moment_on_either_of_two_machines_lose_nothing(bucket, pictures, draw, tmp_path):
    root, dice, killed = pictures(8).image_root, np.random.default_rng(int(os.environ.get("AMNET_SEED", "0"))), 0
    words = [sys.executable, LIGHT, "--dataset", "folder", "--root", root, "--device", "cpu", "--augs", "0", "--out"]

    def run(*more, seconds=None):
        done = subprocess.run([*words, *more], capture_output=True, text=True, check=False, timeout=seconds)
        assert done.returncode == 0, done.stderr

    for night in range(int(os.environ.get("AMNET_NIGHTS", "8"))):
        bucket.other_machine(f"machine{dice.integers(2)}")
        draw(root / f"new{night}.png", seed=night)
        there = sorted(root.iterdir())
        os.rename(there[dice.integers(len(there))], root / f"renamed{night}.png")
        try:
            run(bucket.out, "--sync", seconds=dice.uniform(2.5, 7))
        except subprocess.TimeoutExpired:  # and killed then, by SIGKILL
            killed += 1
    assert killed
    run(bucket.out, "--sync")
    run(tmp_path / "fresh.h5")
    assert whole(bucket.file)
    assert_equal(Collection(bucket.file), Collection(tmp_path / "fresh.h5"))


def test_json_names_what_is_in_the_store(bucket, pictures, extract):
    found = json.loads(extract(pictures(3), "--out", bucket.out, "--sync", "--json").stdout)
    part = next((bucket.folder / "made/photos.h5.parts").iterdir()).name
    assert found["outputs"] == [bucket.out, f"{bucket.out}.parts/{part}"]


def test_features_that_are_sent_take_no_room_here(bucket, pictures, extract):
    extract(pictures(4), "--out", bucket.out, "--sync")
    part = next(bucket.here().parent.glob("photos.h5.parts/*.h5"))
    assert part.stat().st_blocks * 512 < part.stat().st_size / 10


def test_dry_run_leaves_the_store_alone(bucket, pictures, extract):
    photos = pictures(3)
    for options in ((), ("--sync",)):
        assert extract(photos, "--out", bucket.out, "--dry-run", *options).status == 0
    assert list(bucket.folder.iterdir()) == []


def test_pending_images_of_a_part_in_the_store_go_into_a_new_one(bucket, pictures, extract):
    photos = pictures(4)
    extract(photos, "--limit", "2")
    parts = bucket.folder / "made/photos.h5.parts"
    parts.mkdir(parents=True)
    (parts / "0001.h5").write_bytes(Path("t.h5").read_bytes())
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views, len(list(parts.iterdir()))) == (0, 4, 2)
    assert_as_fresh(bucket, photos, extract)


def test_plain_file_does_not_take_the_name_of_a_collection_with_parts(bucket, pictures, extract):
    photos = pictures(3)
    extract(photos, "--out", bucket.out, "--sync")
    before = bucket.file.read_bytes()
    for options in ((), ("--overwrite",)):
        found = extract(photos, "--out", bucket.out, *options)
        assert (found.status, "expected a collection without parts, found 1 in " in found.stderr) == (2, True)
    assert bucket.file.read_bytes() == before


def test_first_nights_of_two_machines_at_once(bucket, pictures, extract, monkeypatch):
    """One is done and not sent; the other has sent its part, and is killed before its link."""
    photos = pictures(3)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", interrupted)
        extract(photos, "--out", bucket.out, "--sync")
    bucket.other_machine()
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "_send_whole", interrupted)
        extract(photos, "--out", bucket.out, "--sync")
    bucket.other_machine("cache")
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views) == (0, 0)
    assert_as_fresh(bucket, photos, extract)


def test_part_here_is_not_lost_to_another_of_its_name(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    with monkeypatch.context() as patch:
        patch.setattr(in_store.InStore, "send", interrupted)
        extract(photos, "--out", bucket.out, "--sync")
    name = next(bucket.here().parent.glob("photos.h5.parts/*.h5")).name
    extract(photos, "--out", "other.h5", "--seed", "5")
    parts = bucket.folder / "made/photos.h5.parts"
    parts.mkdir(parents=True)
    (parts / name).write_bytes(Path("other.h5").read_bytes())
    extract(photos, "--out", bucket.out, "--sync")
    mine = [Collection(path) for path in bucket.here().parent.glob("photos.h5.parts/*.h5") if path.name != name]
    assert [whole(one.path) for one in mine] == [True]


def test_part_that_was_removed_from_the_store_is_extracted_again(bucket, pictures, extract):
    photos = pictures(3)
    extract(photos, "--out", bucket.out, "--sync")
    next((bucket.folder / "made/photos.h5.parts").iterdir()).unlink()
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, "is made again of the parts that are there" in found.stderr) == (0, True)
    assert_as_fresh(bucket, photos, extract)


def test_link_with_parts_of_another_name_is_refused(bucket, pictures, extract):
    photos = pictures(3)
    extract(photos, "--out", "other.h5", "--sync")
    bucket.file.parent.mkdir()
    bucket.file.write_bytes(Path("other.h5").read_bytes())
    shutil.copytree("other.h5.parts", bucket.folder / "made/other.h5.parts")
    found = extract(photos, "--out", bucket.out, "--sync")
    line = f"expected its parts in {bucket.out}.parts, found other.h5.parts/0001.h5"
    assert (found.status, line in found.stderr) == (2, True)


def test_overwrite_replaces_collections_only(bucket, pictures, extract):
    bucket.file.parent.mkdir()
    bucket.file.write_bytes(b"the only copy of a thesis")
    found = extract(pictures(2), "--out", bucket.out, "--overwrite")
    assert (found.status, "--overwrite throws away collections only" in found.stderr) == (2, True)
    assert bucket.file.read_bytes() == b"the only copy of a thesis"


def test_overwrite_of_what_is_in_the_store_can_be_planned(bucket, pictures, extract):
    photos = pictures(2)
    extract(photos, "--out", bucket.out)
    found = extract(photos, "--out", bucket.out, "--overwrite", "--dry-run")
    assert (found.status, "images     2" in found.stdout) == (0, True)


def test_object_that_comes_while_a_file_is_verified_is_not_replaced(bucket, pictures, extract, monkeypatch):
    photos = pictures(2)

    def other_comes(_):
        bucket.file.parent.mkdir()
        bucket.file.write_bytes(b"of another")

    monkeypatch.setattr(in_store, "refuse_damaged", other_comes)
    found = extract(photos, "--out", bucket.out)
    assert (found.status, "one from elsewhere has taken the name" in found.stderr) == (75, True)
    assert bucket.file.read_bytes() == b"of another"


def test_what_says_that_a_file_is_a_copy_means_nothing_without_it(bucket, pictures, extract, draw):
    """A command that is killed as it removes a copy, or a cleaner, may leave it."""
    photos = pictures(3)
    extract(photos, "--out", bucket.out, "--sync")
    for path in bucket.here().parent.rglob("*.h5"):
        path.unlink()
    draw(photos.image_root / "new.png", seed=3)
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views) == (0, 2)
    assert_as_fresh(bucket, photos, extract)


def test_copy_without_features_is_not_verified(bucket, pictures, extract):
    extract(pictures(2), "--out", bucket.out, "--sync")
    found = CliRunner().invoke(cache, ["verify", str(bucket.here()), "--repair"])
    assert (found.exit_code, "a copy without them of what is in a store" in found.stderr) == (2, True)


def test_what_does_not_pass_by_itself_is_wrong_use(bucket, pictures, extract, monkeypatch):
    photos = pictures(2)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket.ask(bucket.server.port)
    found = extract(photos, "--out", bucket.out)
    assert (found.status, found.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("out", "options", "line"),
    [
        ("https://a.org/photos.h5", (), "where an object appears as a whole"),
        ("s3://bucket", (), "found no file"),
        ("s3://bucket/../photos.h5", (), "without . and .. as folders"),
        ("s3://bucket/photos.h5?versionId=4", (), "without a version"),
        (f"s3://bucket/{'long' * 60}.h5", (), "expected a name of at most 200 bytes"),
        ("s3://no-such-bucket/photos.h5", (), "expected a bucket that is there, found no s3://no-such-bucket"),
        ("s3://bucket/photos.h5", ("--shard", "1/2"), "expected without --shard"),
        ("s3://bucket/photos.h5", ("--limit", "2"), "expected without --limit"),
        ("s3://bucket/photos.h5", ("--sync", "--prune"), "expected without --prune"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_in_a_store_is_one_line_before_any_image(pictures, extract, out, options, line):
    found = extract(pictures(2), "--out", out, *options)
    assert (found.status, line in found.stderr, found.stderr.count("\n")) == (2, True, 1)


def test_tables_of_parts_are_copied_once(bucket, pictures, extract, monkeypatch):
    photos = pictures(3)
    extract(photos, "--out", bucket.out, "--sync")
    monkeypatch.setattr("amnet_common.collection.mirror._copy_tables", lambda url, *_: pytest.fail(f"{url} is copied"))
    found = extract(photos, "--out", bucket.out, "--sync")
    assert (found.status, found.views, "nothing to send" in found.stdout) == (0, 0, True)
