"""Files get their names when they are whole, or not at all, and nothing that was planted beside them is followed."""

import errno
import json
import math
import os
import stat

import pytest

from amnet_common.errors import OutputError
from amnet_common.files import finite, publish, temporary_beside, whole_file, write_json, write_text


def test_a_file_replaces_an_older_one_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_older_file_stands_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with whole_file(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_cannot_be_written_is_named_with_its_option(tmp_path):
    message = r"--out .*/none/a\.txt: cannot be written: No such file or directory"
    with pytest.raises(OutputError, match=message), whole_file(tmp_path / "none" / "a.txt", "--out"):
        pass


def test_a_link_planted_under_the_final_name_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.txt").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "a.txt").is_symlink()


def test_temporary_names_cannot_be_guessed_and_are_made_exclusively(tmp_path, monkeypatch):
    with temporary_beside(tmp_path / "a") as one, temporary_beside(tmp_path / "a") as other:
        assert one != other
        monkeypatch.setattr("amnet_common.files.secrets.token_hex", lambda _: one.name.split(".")[-2])
        with pytest.raises(FileExistsError), temporary_beside(tmp_path / "a"):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_a_file_has_the_mode_that_the_umask_gives_whatever_its_writer_made_of_it(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "a") as temporary:
            temporary.chmod(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_json_has_null_for_what_is_no_finite_number_at_any_depth(tmp_path):
    write_json(tmp_path / "a.json", {"a": math.nan, "b": [1.5, {"c": math.inf}], "d": (1, "nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1.5, {"c": None}], "d": [1, "nan"]}
    assert finite(-math.inf) is None


def test_publishing_never_replaces_a_file_and_gives_all_names_or_none(tmp_path):
    new, taken, free = tmp_path / "new", tmp_path / "taken", tmp_path / "free"
    new.write_text("new")
    taken.write_text("old")
    with pytest.raises(FileExistsError):
        publish({free: new, taken: new})
    assert taken.read_text() == "old"
    assert not free.exists()
    publish({free: new})
    assert free.read_text() == "new"


@pytest.mark.parametrize("links", ["none", "none, and no rename that replaces nothing"])
def test_where_there_are_no_hard_links_a_name_is_given_all_the_same_and_never_taken(tmp_path, monkeypatch, links):
    def no_links(*_, **__):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", no_links)
    if links != "none":
        monkeypatch.setattr("amnet_common.files.rename_noreplace", lambda *_: False)
    new, taken = tmp_path / "new", tmp_path / "taken"
    new.write_text("new")
    taken.write_text("old")
    with pytest.raises(FileExistsError):
        publish({taken: new})
    assert (taken.read_text(), new.read_text()) == ("old", "new")
    publish({tmp_path / "free": new})
    assert (tmp_path / "free").read_text() == "new"
