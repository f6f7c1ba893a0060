"""What a command writes over: nothing that it reads, nothing of another kind, its own kind only when it is told to."""

import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.only_writer import only_writer
from headtrain.cli import main


@pytest.fixture
def work(trained, tmp_path, monkeypatch):
    """A copy of images, features and a run, as the working folder."""
    shutil.copytree(trained, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


COMMANDS = {  # each writes one file, named last
    "attend": (["attend", "--features", "f.h5", "--head", "run", "0.png", "--out"], "a.png"),
    "curves": (["curves", "run", "--out"], "c.svg"),
    "curves as PDF": (["curves", "run", "--out"], "c.pdf"),
    "figure": (["figure", "histogram", "run", "--out"], "h.png"),
    "report": (["report", "run", "--features", "f.h5", "--gallery", "1", "--out"], "r.html"),
    "score": (["score", "--features", "f.h5", "--head", "run", "--device", "cpu", "--out"], "s.csv"),
}


def amnet_head(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(params=COMMANDS)
def command(request):
    return COMMANDS[request.param]


def test_a_file_that_is_there_is_replaced_only_with_overwrite(work, command):
    words, out = command
    assert amnet_head(*words, out).exit_code == 0
    written = (work / out).read_bytes()
    again = amnet_head(*words, out)
    assert again.exit_code == 2
    assert f"--out {out}: expected a new file, found one that exists; " in again.stderr
    assert "--overwrite" in again.stderr
    assert (work / out).read_bytes() == written
    assert amnet_head(*words, out, "--overwrite").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"my thesis", b"id,score\na.jpg,0.5\n", b"\x89PNG\r\n\x1a\n", b"{}",
                                     b"%PDF-1.4\n/Creator (LaTeX)"])  # fmt: skip
def test_a_file_of_another_kind_is_never_replaced(work, command, content):
    words, out = command
    (work / out).write_bytes(content)
    for flags in ((), ("--overwrite",)):
        result = amnet_head(*words, out, *flags)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
    assert (work / out).read_bytes() == content


def test_a_photograph_is_not_replaced_by_a_picture_of_attention(work):
    photograph = work / "images" / "0.png"
    before = photograph.read_bytes()
    words, _ = COMMANDS["attend"]
    result = amnet_head(*words, photograph, "--overwrite")
    assert (result.exit_code, photograph.read_bytes()) == (2, before)
    assert "expected a picture that amnet drew to replace, found another file; remove it yourself" in result.stderr


@pytest.mark.parametrize("read", ["f.h5", "run/best.safetensors", "run/run.json", "run/metrics.json", "run/test.csv"])
def test_what_a_scoring_reads_is_never_its_output(work, read):
    before = (work / read).read_bytes()
    words, _ = COMMANDS["score"]
    result = amnet_head(*words, read, "--format", "csv", "--overwrite")
    assert (result.exit_code, (work / read).read_bytes()) == (2, before)


@pytest.mark.usefixtures("work")
def test_maps_are_an_output_like_any_other():
    words = ["attend", "--features", "f.h5", "--head", "run", "0.png", "--out", "a.png", "--maps", "m.npy"]
    assert amnet_head(*words).exit_code == 0
    assert amnet_head(*words, "--overwrite").exit_code == 0
    shutil.copy("run/test.csv", "m.npy")
    assert amnet_head(*words, "--overwrite").exit_code == 2


def test_the_picture_in_the_run_folder_is_drawn_anew_without_being_asked(work):
    for _ in range(2):
        assert amnet_head("curves", "run").exit_code == 0
    with Image.open(work / "run" / "curves.png") as image:
        assert image.format == "PNG"


def test_the_second_of_two_commands_on_one_output_ends_in_one_line(work, command):
    words, out = command
    with only_writer(work / out):
        result = amnet_head(*words, out)
    assert result.exit_code == 75
    assert f"--out {out}: expected to be the only command that writes it, found another at work" in result.stderr
    assert not (work / out).exists()


@pytest.mark.parametrize("words", [
    ["train", "--features", "f.h5", "--epochs", 1, "--hidden", 8, "--device", "cpu"],
    ["sweep", "--features", "f.h5", "--epochs", 1, "--hidden", 8, "--device", "cpu"],
    ["baseline", "--features", "f.h5"], ["evaluate", "--features", "f.h5", "--head", "run"],
], ids=lambda words: words[0])  # fmt: skip
def test_the_second_of_two_commands_in_one_folder_ends_in_one_line(work, words):
    with only_writer(work / "new"):
        result = amnet_head(*words, "--out", "new")
    assert (result.exit_code, result.stderr.splitlines()[-1].count("found another at work")) == (75, 1)
    assert not (work / "new").exists()


def test_a_link_planted_under_a_part_is_not_written_through(work):
    (work / "victim").write_text("mine")
    for name in ("s.csv.part", "s.csv.part.json", "s.csv.json"):
        (work / name).symlink_to(work / "victim")
    words, out = COMMANDS["score"]
    assert amnet_head(*words, out).exit_code == 0
    assert (work / "victim").read_text() == "mine"
