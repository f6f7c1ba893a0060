"""`amnet-extract` as a real process: its console script, Ctrl-C, SIGTERM and SIGHUP."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from extract.cli import main
from tests.support.minded import minded

COMMAND = Path(sys.executable).with_name("amnet-extract")
CHEAP = ("--weights", "untrained", "--precision", "float32", "--batch-size", "2")


def test_console_script_is_not_misled_by_files_of_the_working_folder(root, tmp_path):
    (tmp_path / "extract.py").write_text("raise SystemExit('the wrong module')")
    args = [COMMAND, "--dataset", "lamem", "--root", root, *CHEAP, "--augs", "0", "--limit", "1"]
    result = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    assert result.stdout.startswith("lamem.h5: 1 images done (1 now), 0 failed, 3 pending")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_command_says_how_to_go_on_and_the_same_command_completes_it(root, out, number, status):
    args = [COMMAND, "--dataset", "folder", "--root", root / "images", "--out", out, *CHEAP, "--augs", "2"]
    assert _run_and_stop(args, number) == status
    assert (Collection(out).status == 0).any()
    result = CliRunner().invoke(main, [str(word) for word in args[1:]], catch_exceptions=False)
    assert (result.exit_code, "4 images done" in result.stdout) == (0, True)
    collection = Collection(out)
    assert collection.read([0, 1, 2, 3] * 3, np.repeat(range(3), 4), check=True).shape[0] == 12


def _run_and_stop(args, number: signal.Signals) -> int:
    """Start the command, send it the signal when its progress bar appears; its exit status."""
    with minded(number):
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with process:
        shown = ""
        while "extract:" not in shown and process.poll() is None:
            shown += process.stderr.read(1)
        process.send_signal(number)
        rest = process.communicate(timeout=300)[1]
    assert rest.endswith(f"amnet-extract: interrupted. {args[6]} keeps what is finished; "
                         "the same command again goes on from there\n")  # fmt: skip
    assert "Traceback" not in rest
    return process.returncode


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_ids_are_the_same_in_every_locale(root, tmp_path, locale):
    (root / "images" / "0.png").rename(root / "images" / "Zürich.png")
    text = (root / "splits" / "train_1.txt").read_text().replace("0.png", "Zürich.png")
    (root / "splits" / "train_1.txt").write_text(text, encoding="utf-8")
    words = ["--dataset", "lamem", "--root", root, "--out", tmp_path / "t.h5", "--weights", "untrained", "--augs", "0",
             "--precision", "float32"]  # fmt: skip
    command = Path(sys.executable).with_name("amnet-extract")
    for environment in (locale, {}):
        done = subprocess.run(
            [command, *map(str, words)], capture_output=True, env=os.environ | environment, check=False
        )
        assert done.returncode == 0, done.stderr
    assert Collection(tmp_path / "t.h5").ids == ("1.png", "2.png", "3.png", "Zürich.png")
