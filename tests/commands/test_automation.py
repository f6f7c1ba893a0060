"""What cron jobs and schedulers have of commands: one JSON object, silence while all is well, whole lines in a log."""

import json
import re
import shutil

import h5py
import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection.writer import RowWriter
from amnet_common.only_writer import only_writer
from extract.cli import main as extract
from headtrain.cli import main as head

STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ (.*)")
CHEAP = ("--weights", "untrained", "--precision", "float32", "--augs", 0)


def invoke(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


def object_of(result):
    assert result.stdout.count("\n") == 1, result.output
    found = json.loads(result.stdout)
    assert found["status"] == result.exit_code
    return found


@pytest.fixture
def words(root, out):
    """An extraction of four pictures, the last of which is damaged."""
    (root / "images" / "3.png").write_bytes(b"no picture")
    return ("--dataset", "folder", "--root", root / "images", "--out", out, *CHEAP)


@pytest.fixture
def work(trained, tmp_path, monkeypatch):
    """A copy of the trained folder to work in."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "work"))
    return tmp_path / "work"


def test_an_extraction_is_one_object_whether_it_has_work_or_not(words, out):
    first = object_of(invoke(extract, *words, "--json"))
    assert (first["status"], first["error"], first["outputs"]) == (1, None, [str(out)])
    assert first["warnings"] == ["failed: 3.png: not an image that Pillow can identify"]
    counts = {"images": 4, "done": 3, "done_now": 3, "failed": 1, "failed_now": 1, "pending": 0}
    assert first["counts"] == counts | {"bytes": out.stat().st_size}
    again = object_of(invoke(extract, *words, "--json"))
    assert again["counts"] == first["counts"] | {"done_now": 0, "failed_now": 0}


def test_an_extraction_that_meets_another_is_one_object_with_status_75(words, out):
    invoke(extract, *words, "--limit", 1)
    with RowWriter(out):
        result = invoke(extract, *words, "--json")
    assert (result.exit_code, object_of(result)["error"].count("found another writing there; wait, or")) == (75, 1)


def test_wrong_input_is_one_object_with_status_2(words, tmp_path):
    result = invoke(extract, *words, "--root", tmp_path / "nowhere", "--json", "--quiet")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr == f"main: {object_of(result)['error']}\n"


def test_a_quiet_extraction_speaks_of_what_failed_and_its_log_of_all_in_whole_lines(words, out, tmp_path):
    result = invoke(extract, *words, "--quiet", "--log-file", tmp_path / "a.log")
    failed, last = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, failed) == (1, "", "failed: 3.png: not an image that Pillow can identify")
    assert last.startswith(f"{out}: 3 images done (3 now), 1 failed")
    text = (tmp_path / "a.log").read_text()
    lines = [STAMPED.fullmatch(line)[1] for line in text.splitlines()]
    assert "\r" not in text
    begun, ended = (line for line in lines if line.startswith("extract: "))
    assert begun == "extract: 0 of 4 views (0.0 %)"
    assert re.fullmatch(r"extract: 4 of 4 views \(100\.0 %\), .* views/s, in .*, 1 failed", ended)
    assert [line for line in lines if line in (failed, last)] == [failed, last]


@pytest.mark.usefixtures("work")
def test_every_command_of_a_cache_is_one_object():
    info = object_of(invoke(cache, "info", "f.h5", "--json"))
    assert (info["command"], info["counts"]["images"], info["counts"]["splits"]["val_1"]) == ("main info", 8, 2)
    assert info["lines"][0] == "file         f.h5"
    assert object_of(invoke(cache, "verify", "f.h5", "--json"))["counts"]["done"] == 8
    linked = object_of(invoke(cache, "link", "f.h5", "--out", "all.h5", "--json"))
    assert (linked["outputs"], linked["counts"]["parts"]) == (["all.h5"], 1)
    assert object_of(invoke(cache, "relabel", "f.h5", "--folds", 2, "--out", "r.h5", "--json"))["counts"]["scored"] == 8
    assert object_of(invoke(cache, "export", "f.h5", "--out", "e.npy", "--json"))["counts"]["exported"] == 8
    assert object_of(invoke(cache, "info", "none.h5", "--json"))["status"] == 2


def test_quiet_commands_of_a_cache_print_what_was_asked_for(work):
    assert invoke(cache, "verify", "f.h5", "--quiet").output == ""
    assert invoke(cache, "info", "f.h5", "--quiet").stdout.startswith("file         f.h5\n")
    with h5py.File(work / "f.h5") as file:
        place = file["segments/0000"].id.get_offset()
    with open(work / "f.h5", "r+b") as file:
        file.seek(place)
        value = file.read(1)[0]
        file.seek(place)
        file.write(bytes([value ^ 1]))
    result = invoke(cache, "verify", "f.h5", "--quiet")
    assert (result.exit_code, result.stdout.count("\n"), result.stderr.count("\n")) == (1, 1, 1)
    assert "f.h5: 1 bad rows; --repair marks them pending" in result.stderr


@pytest.mark.usefixtures("work")
def test_every_command_of_a_head_that_works_is_one_object():
    usual = ("--features", "f.h5", "--epochs", 1, "--hidden", 8, "--device", "cpu", "--json")
    train = object_of(invoke(head, "train", *usual, "--out", "new"))
    assert (train["outputs"], train["counts"]["trained"], len(train["counts"]["val_rho"])) == (["new"], 1, 1)
    sweep = object_of(invoke(head, "sweep", *usual, "--grid", "lr=1e-4,1e-3", "--out", "grid"))
    assert (sweep["outputs"], sweep["counts"]) == (["grid"], {"heads": 2, "failed": 0, "pruned": 0})
    score = object_of(invoke(head, "score", "--features", "f.h5", "--head", "new", "--out", "s.csv", "--json"))
    assert (score["outputs"], score["counts"]["scored"], score["counts"]["test_images"]) == (["s.csv"], 8, 2)
    append = ("score", "--features", "f.h5", "--head", "new", "--out", "s.csv", "--append", "--json")
    again = object_of(invoke(head, *append))
    assert (again["counts"]["scored"], again["counts"]["kept"], again["counts"]["gone"]) == (0, 8, 0)
    baseline = object_of(invoke(head, "baseline", "--features", "f.h5", "--out", "base", "--json"))
    assert (baseline["outputs"], baseline["counts"]["splits"]) == (["base"], 1)
    evaluate = ("evaluate", "--features", "f.h5", "--head", "new", "--out", "again", "--json")
    assert list(object_of(invoke(head, *evaluate))["counts"]["rho"]) == ["again"]
    tested = object_of(invoke(head, "test", "--features", "f.h5", "--head", "new", "--json"))
    assert (tested["counts"]["images"], tested["outputs"]) == (4, [])
    for words in (("runs", "grid"), ("table", "new"), ("show", "new")):
        assert object_of(invoke(head, *words, "--json"))["lines"]


def test_a_quiet_scoring_is_silent_and_a_busy_one_is_one_object(work):
    words = ("score", "--features", "f.h5", "--head", "run", "--out", "s.csv")
    said = invoke(head, *words, "--quiet").output.splitlines()
    assert [line for line in said if "the scores hardly differ" not in line] == []
    with only_writer(work / "s.csv"):
        result = invoke(head, *words, "--append", "--json")
    assert (result.exit_code, "found another at work" in object_of(result)["error"]) == (75, True)
