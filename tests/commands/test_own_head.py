"""A head of a user's own, as docs/own-head.md tells it: its file, its commands, and what is refused."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from killed_training import kill_in_the_second_epoch
from safetensors.torch import load_file

import amnet
from amnet_common.errors import RunError
from headtrain.cli import main as head
from headtrain.heads import own

PAGE = (Path(__file__).parents[2] / "docs" / "own-head.md").read_text(encoding="utf-8")
(CLASS,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
SMALL = ("--epochs", "2", "--no-compile", "--device", "cpu")
ARCH = ("--arch", "my_head.py:MeanMax")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, features):
    """A folder with the page's file, a collection of two splits, and nobody who has named a class."""
    features.rename(tmp_path / "photos.h5")
    (tmp_path / "my_head.py").write_text(CLASS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own, "NAMED", {})
    monkeypatch.setattr(own, "NAMED_AS", {})
    return tmp_path


def run(*words, status=0):
    result = CliRunner().invoke(head, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result


def train(*words, **more):
    return run("train", "--features", "photos.h5", "--split", 1, *ARCH, *SMALL, *words, **more)


def equal(one, other):
    """Whether two checkpoints hold the same bits."""
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_commands_of_the_page_do_what_it_says(here):
    said = {}
    for line in LINES:
        name, *words = shlex.split(line)
        assert name == "amnet-head"
        said[words[0]] = run(*words, *(SMALL if words[0] in ("train", "sweep") else ()))
    assert "6 heads" in said["sweep"].stderr
    names = {path.name for path in (here / "runs/sweep").iterdir() if path.is_dir()}
    assert names == {f"width={width},lr={lr},seed=0" for width in (16, 32, 64) for lr in ("0.0003", "0.001")}
    assert run("runs", "runs/sweep", "--where", "width=16").stdout.count("width=16,") == 2
    assert "--where: expected KEY=VALUE" in run("runs", "runs/sweep", "--where", "depth=16", status=2).stderr
    rows = csv.DictReader(run("runs", "runs/sweep", "--format", "csv").stdout.splitlines())
    assert {(row["width"], row["lr"]) for row in rows} == {
        (width, rate) for width in ("16", "32", "64") for rate in ("0.0003", "0.001")
    }
    assert len((here / "scores.csv").read_text().splitlines()) == 1 + 12
    assert "MeanMax" in (here / "report.html").read_text()
    begun = json.loads((here / "runs/mean-max/split-1/run.json").read_text())["config"]["head"]
    assert (begun["architecture"], begun["own"]) == ("my_head.py:MeanMax", {"dropout": 0.5, "width": 32})
    assert "my_head" not in "".join(path.name for path in (here / "runs").rglob("*"))


def test_a_killed_training_of_such_a_head_ends_with_the_weights_of_an_undisturbed_one(monkeypatch):
    train("--out", "whole")
    with monkeypatch.context() as patched:
        kill_in_the_second_epoch(patched)
        train("--out", "killed", status=130)
    train("--out", "killed", "--resume")
    for name in ("best", "last"):
        assert equal(f"killed/{name}.safetensors", f"whole/{name}.safetensors")


def test_no_run_loads_code_by_itself(monkeypatch):
    train("--out", "run")
    monkeypatch.setattr(own, "NAMED", {})
    monkeypatch.setattr(own, "NAMED_AS", {})
    words = ("score", "--features", "photos.h5", "--head", "run", "--out", "s.csv")
    said = run(*words, status=2).stderr
    assert "expected a head of amnet or one that is installed, found 'my_head.py:MeanMax'; name its class" in said
    assert "Traceback" not in said
    run(*words, *ARCH)


def test_a_changed_file_is_told_and_not_resumed(here):
    train("--out", "run")
    (here / "my_head.py").write_text(CLASS + "\n# other\n")
    own.NAMED_AS.clear()
    said = run("score", "--features", "photos.h5", "--head", "run", "--out", "s.csv", *ARCH).stderr
    assert re.search(r"^warning: run/best\.safetensors: the file of my_head\.py:MeanMax has changed since", said, re.M)
    said = train("--out", "run", "--resume", status=2).stderr
    assert "--resume: run is another run: config.head.source: expected" in said


def test_a_run_of_such_a_head_is_tested_later(here):
    train("--out", "run", "--no-test")
    own.NAMED.clear()
    own.NAMED_AS.clear()
    run("test", "run", *ARCH)
    assert (here / "run/test.csv").exists()


def test_two_files_of_one_name_are_told_apart(here):
    """Each run is scored by the class that it was trained with, whatever was named last."""
    for folder, what in (("a", "x.mean(1)"), ("b", "x.amax(1)")):
        (here / folder).mkdir()
        (here / folder / "my_head.py").write_text(CLASS.replace("x.mean(1)", what))
        run("train", "--features", "photos.h5", "--split", 1, "--arch", f"{folder}/my_head.py:MeanMax", *SMALL,
            "--out", f"run-{folder}")  # fmt: skip
    both = ("--arch", "a/my_head.py:MeanMax", "--arch", "b/my_head.py:MeanMax")
    tables = {}
    for name, arch in (("a", both[:2]), ("both", both), ("turned", both[2:] + both[:2])):
        own.NAMED.clear()
        own.NAMED_AS.clear()
        said = run("score", "--features", "photos.h5", "--head", "run-a", "--out", f"{name}.csv", *arch)
        assert "has changed" not in said.stderr
        tables[name] = (here / f"{name}.csv").read_text()
    assert tables["a"] == tables["both"] == tables["turned"]


def test_values_that_no_folder_can_be_named_by_are_not_swept(here):
    (here / "my_head.py").write_text(CLASS.replace("width: int = 64", 'width: int = 64\n    kind: str = "a"'))
    words = ("sweep", "--features", "photos.h5", *ARCH, *SMALL, "--grid", "kind=x/../../y,b", "--out", "s/s")
    assert "--grid kind: expected values without a slash" in run(*words, status=2).stderr
    assert not (here / "s").exists() or not any((here / "s").glob("**/run.json"))


def test_a_configuration_file_repeats_a_run():
    train("--out", "run", "--set", "width=8")
    run(
        "train",
        "--features",
        "photos.h5",
        "--split",
        1,
        "--config",
        "run/config.toml",
        "--out",
        "again",
        "--no-compile",
    )
    assert equal("again/last.safetensors", "run/last.safetensors")


def test_python_names_the_class_too():
    train("--out", "run")
    own.NAMED.clear()
    own.NAMED_AS.clear()
    with pytest.raises(RunError, match=r"in Python: amnet\.name_head"):
        amnet.load_head("run")
    amnet.name_head("my_head.py:MeanMax")
    assert repr(amnet.load_head("run")).startswith("<MeanMax: dropout=0.5, width=64; preset amnet, split 1, epoch ")


def test_a_search_draws_values_of_its_settings(here):
    pytest.importorskip("optuna")
    words = ("--range", "width=4:16", "--grid", "dropout=0.0,0.5", "--trials", 2, "--split", 1, "--out", "search")
    run("sweep", "--features", "photos.h5", *ARCH, *SMALL, *words)
    found = [json.loads(path.read_text())["config"]["head"]["own"] for path in here.glob("search/*/split-1/run.json")]
    assert len(found) == 2
    assert all(4 <= one["width"] <= 16 and one["dropout"] in (0.0, 0.5) for one in found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--arch", "none.py:MeanMax"), "--arch none.py: expected a file of Python, found none that can be read"),
        (("--arch", "my_head.py:Other"), "expected a subclass of amnet.Head, found none of that name"),
        (("--arch", "my_head.py:Settings"), "expected a subclass of amnet.Head, found <class"),
        (("--arch", "broken.py:Head"), "found NameError: name 'nowhere' is not defined, line 2"),
        (("--arch", "no.such.module:Head"), "found ModuleNotFoundError: No module named 'no'"),
        (("--arch", "papr"), "expected paper, released, "),
        (("--set", "width=3"), "--set width=3: expected --arch with a head of your own, found none"),
        ((*ARCH, "--set", "depth=3"), "expected NAME=VALUE with a setting of my_head.py:MeanMax (width, dropout)"),
        ((*ARCH, "--set", "width=wide"), "--set width: expected a value of type int, found 'wide'"),
        ((*ARCH, "--steps", "2"), "--steps: expected a setting of my_head.py:MeanMax (--set; it has width, dropout)"),
    ],
)  # fmt: skip
def test_wrong_names_are_refused_in_one_line(here, words, said):
    (here / "broken.py").write_text("import amnet\nnowhere()\n")
    output = run("train", "--features", "photos.h5", "--split", 1, "--out", "run", *words, status=2).stderr
    assert said in output
    assert len(output.splitlines()) == 1
    assert not (here / "run").exists()


@pytest.mark.parametrize("command", ["score", "attend", "report", "test"])
def test_commands_that_load_heads_refuse_a_wrong_name_in_one_line(command):
    words = {"report": ("run",), "score": ("--head", "run"), "attend": ("--head", "run"), "test": ("--head", "run")}
    more = {"attend": ("00.jpg",)}.get(command, ())
    said = run(command, *words[command], *more, "--features", "photos.h5", "--out", "o.csv", "--arch", "none.py:H",
               status=2).stderr.splitlines()  # fmt: skip
    assert [line.partition(": ")[2][:24] for line in said] == ["--arch none.py: expected"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("class Settings:\n    width: int = 3", "expected Settings to be a frozen dataclass"),
        ("@dataclass\nclass Settings:\n    width: int = 3", "expected Settings to be a frozen dataclass"),
        (
            "@dataclass(frozen=True)\nclass Settings:\n    width: int",
            "expected a default of each setting, found none of",
        ),
        (
            "@dataclass(frozen=True)\nclass Settings:\n    width: tuple = ()",
            "expected settings of type bool, int, float",
        ),
    ],
)
def test_settings_that_no_file_could_hold_are_refused(here, settings, said):
    source = (
        f"from dataclasses import dataclass\nimport amnet\n{settings}\nclass H(amnet.Head):\n    Settings = Settings\n"
    )
    (here / "odd.py").write_text(source)
    words = ("train", "--features", "photos.h5", "--split", 1, "--out", "run", "--arch", "odd.py:H")
    assert said in run(*words, status=2).stderr


@pytest.mark.parametrize("name", ["mean-pool", "attention-pool"])
def test_heads_of_amnet_are_named_without_a_file(here, name):
    words = ("--features", "photos.h5", "--split", 1, "--out", "run", "--arch", name, "--set", "width=8", *SMALL)
    run("train", *words)
    run("score", "--features", "photos.h5", "--head", "run", "--out", "s.csv")
    assert "source" not in json.loads((here / "run/run.json").read_text())["config"]["head"]


BEGIN = "import torch\nfrom torch import nn\nimport amnet\n\nclass Odd(amnet.Head):\n"
BARE = "    def __init__(self, config):\n"
INIT = BARE + "        super().__init__(config)\n"
WEIGHT = INIT + "        self.w = nn.Parameter(torch.ones(()))\n"
FORWARD = "    def forward(self, x, noise):\n"
SAYS = FORWARD + "        return self.single(x.mean((1, 2)) * self.w)\n"
BUFFER = "        self.register_buffer('r', torch.ones(2), persistent=False)\n"
DROPOUT = "        return self.single(nn.functional.dropout(x, 0.5).mean((1, 2)) * self.w)\n"
SHARE = "        return self.single(noise.drop(x, 1.0).mean((1, 2)) * self.w)\n"
UNIT = "        return self.single(noise.drop(x, 0.5, 'channels').mean((1, 2)) * self.w)\n"
STEPS = "        s = x.mean((1, 2)) * self.w\n        return self.single(s)._replace(steps=2 * s[:, None])\n"
LOGITS = "        return self.single(x.mean((1, 2)) * self.w, x.mean(2))\n"
CHANCE = "        import random\n        return self.single(x.mean((1, 2)) * self.w * random.random())\n"
EVAL = "        if not self.training:\n            {}['only in eval']\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (SAYS, "Odd: expected parameters to train, found none"),
        (INIT + "        raise ValueError('one\\ntwo')\n" + SAYS, "found ValueError: one two, line 8"),
        (BARE + "        self.l = nn.Linear(2, 2)\n" + SAYS, "found AttributeError: cannot assign module before"),
        (BARE + "        pass\n" + SAYS, "that runs and begins with super().__init__(config), found"),
        (INIT + "        self.w = nn.LazyLinear(2)\n" + SAYS, "found w.weight of a lazy module"),
        (WEIGHT + BUFFER + SAYS, "expected buffers that are kept (persistent=True), found r"),
        (WEIGHT + "        self.v = self.w\n" + SAYS, "memory of its own for each tensor, found v in that of w"),
        (WEIGHT + "        self.lstm = nn.LSTM(2, 2)\n" + SAYS, "found lstm, an nn.LSTM"),
        (WEIGHT + FORWARD + DROPOUT, "which no seed decides"),
        (WEIGHT + FORWARD + SHARE, "noise.drop: expected a share in [0, 1), found 1.0"),
        (WEIGHT + FORWARD + EVAL + SAYS.removeprefix(FORWARD), "found KeyError: 'only in eval', line "),
        (INIT + "        self.w = nn.Parameter(torch.ones(7))\n" + SAYS, "expected one that takes x (2, 196, 1024)"),
        (INIT + "        self.w = torch.ones(())\n" + SAYS, "(register_buffer), found w, which is neither"),
        (INIT + "        raise SystemExit('bye')\n" + SAYS, "found SystemExit: bye, line 8"),
        (WEIGHT + FORWARD + UNIT, "noise.drop: expected the unit value, or channel for x (B, L, D), found 'channels'"),
        (WEIGHT + FORWARD + STEPS, "Odd: expected steps that add up to the score, found "),
        (WEIGHT + FORWARD + LOGITS, "Odd: expected attention whose rows add up to 1, found "),
        (WEIGHT + FORWARD + CHANCE, "Odd: expected the same output for the same x and noise, found another"),
    ],
)
def test_a_class_that_could_not_be_trained_or_kept_is_refused_before_anything_is_written(here, body, said):
    (here / "odd.py").write_text(BEGIN + body)
    words = ("train", "--features", "photos.h5", "--split", 1, "--out", "run", "--arch", "odd.py:Odd", *SMALL)
    (*_, line) = run(*words, status=2).stderr.splitlines()
    assert said in line
    assert not (here / "run").exists()


UNMAPPED = """
    def __init__(self, config):
        super().__init__(config)
        self.a, self.b = (nn.Parameter(torch.ones(12, size)) for size in (4, 3))
        self.c = nn.Parameter(torch.ones(12))

    def forward(self, x, noise):
        z = x.mean(1)[:, :4]
        h, _ = torch.lstm_cell(z, (z[:, :3], z[:, :3]), self.a, self.b, self.c, self.c)
        return self.single(h.sum(1))
"""


def test_operators_that_cannot_be_mapped_train_one_by_one(here):
    (here / "odd.py").write_text(BEGIN + UNMAPPED)
    words = ("--features", "photos.h5", "--split", 1, "--arch", "odd.py:Odd", *SMALL)
    run("train", *words, "--out", "alone")
    said = run("sweep", *words, "--seeds", 2, "--out", "sweep", status=2).stderr.splitlines()[-1]
    assert "Odd.forward: expected operators that torch.func.vmap can map over heads, found " in said
    assert "--heads-per-pass 1 trains them one by one" in said
    run("sweep", *words, "--seeds", 2, "--out", "sweep", "--resume", "--heads-per-pass", 1)
