"""--quiet leaves out what no one must see, --json gives one object, whether the command does its work or not."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amnet_common import __version__
from amnet_common.commands import OneLineErrors, OneLineErrorsGroup, say, say_done, say_wrong, summary
from amnet_common.errors import BusyError, DeviceWarning

FIELDS = ["command", "version", "status", "error", "seconds", "counts", "outputs", "warnings", "lines"]


def invoke(body, *words):
    return CliRunner().invoke(click.command("tool", cls=OneLineErrors)(body), words)


def speaks(status=0):
    def body():
        say("asked for")
        say("note: a detail", err=True)
        say_done("out.h5: 3 images done")
        say_wrong("failed: a.jpg: damaged")
        warnings.warn("no GPU", DeviceWarning, stacklevel=2)
        return status

    return body


def test_a_quiet_command_says_what_was_asked_for_and_what_is_wrong():
    result = invoke(speaks(), "--quiet")
    assert (result.stdout, result.stderr) == ("asked for\n", "failed: a.jpg: damaged\nwarning: no GPU\n")


def test_a_quiet_command_says_how_its_work_went_if_not_all_is_well():
    result = invoke(lambda: say_done("out.h5: 2 images done, 1 failed") or 1, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "out.h5: 2 images done, 1 failed\n")


def test_a_quiet_command_in_which_all_is_well_says_nothing():
    result = invoke(lambda: say_done("out.h5: 3 images done"), "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_a_quiet_command_says_its_error():
    def body():
        raise BusyError("out.h5: another at work")

    result = invoke(body, "--quiet")
    assert (result.exit_code, result.output) == (75, "tool: out.h5: another at work\n")


def test_without_options_all_is_said():
    result = invoke(speaks())
    assert result.stdout == "asked for\nout.h5: 3 images done\n"
    assert result.stderr == "note: a detail\nfailed: a.jpg: damaged\nwarning: no GPU\n"


def object_of(result):
    """The one JSON object on stdout."""
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert (list(found), found["version"], found["seconds"] >= 0) == (FIELDS, __version__, True)
    assert found["status"] == result.exit_code
    return found


def test_success_is_one_object(tmp_path):
    def body():
        summary(tmp_path / "a.h5", images=3, rho=float("nan"))
        summary(tmp_path / "a.h5", images=4)
        print("from a library")  # noqa: T201
        return speaks(1)()

    result = invoke(body, "--json")
    found = object_of(result)
    assert found["command"] == "tool"
    assert (found["error"], found["counts"]) == (None, {"images": 4, "rho": None})
    assert found["outputs"] == [str(tmp_path / "a.h5")]
    assert found["warnings"] == ["failed: a.jpg: damaged", "warning: no GPU"]
    assert found["lines"] == ["asked for", "out.h5: 3 images done"]
    assert "from a library\n" in result.stderr


def raises(error):
    def body():
        summary(images=2)
        raise error

    return body


@pytest.mark.parametrize(("error", "status", "text"), [
    (BusyError("a.h5: another at work"), 75, "a.h5: another at work"),
    (ValueError("x"), 70, "an error of amnet itself: ValueError: x; its traceback is in "),
    (KeyboardInterrupt("a.h5 keeps what is done"), 130, "interrupted. a.h5 keeps what is done"),
    (click.UsageError("no such thing"), 2, "no such thing"),
    (OSError(5, "Input/output error", "a.h5"), 75, "[Errno 5] Input/output error: 'a.h5'"),
])  # fmt: skip
def test_failure_is_one_object_with_its_line(error, status, text, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke(raises(error), "--json")
    found = object_of(result)
    assert (found["status"], found["counts"]) == (status, {"images": 2})
    assert found["error"].startswith(text)
    assert text in result.stderr


@pytest.mark.parametrize("words", [["info", "--no-such", "--json"], ["--json", "info"], ["no-such", "--json"]])
def test_wrong_use_is_one_object_too(words):
    group = OneLineErrorsGroup("tool")
    group.command("info")(lambda: None)
    result = CliRunner().invoke(group, words)
    assert result.exit_code == 2
    assert "Usage: tool" in result.stderr
    if words[0] != "--json":  # an option of the commands, not of what groups them
        assert object_of(result)["error"].startswith(("No such option", "No such command"))


def test_an_early_end_is_an_object_as_well():
    def body():
        raise click.exceptions.Exit(0)

    assert object_of(invoke(body, "--json"))["status"] == 0


def test_out_counts_as_an_output_where_it_stands(tmp_path):
    @click.command("tool", cls=OneLineErrors)
    @click.option("--out", type=click.Path(path_type=Path))
    def tool(out):
        if out.suffix == ".h5":
            out.touch()

    for name, wanted in (("a.h5", [str(tmp_path / "a.h5")]), ("b.csv", [])):
        assert object_of(CliRunner().invoke(tool, ["--out", str(tmp_path / name), "--json"]))["outputs"] == wanted


def test_warnings_of_threads_are_those_of_the_command():
    def body():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: warnings.warn("of a thread", DeviceWarning, stacklevel=1)).result()

    assert object_of(invoke(body, "--json"))["warnings"] == ["warning: of a thread"]
