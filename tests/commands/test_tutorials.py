"""The commands of the tutorials, as they stand there, on a few drawn pictures and with small heads."""

import csv
import glob
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.cli import main as cache
from extract.cli import main as extract
from headtrain.cli import main as head

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
COMMANDS = {"amnet-extract": extract, "amnet-cache": cache, "amnet-head": head}
SMALL = {"train": ("--epochs", "1", "--hidden", "8", "--regress-hidden", "4", "--no-compile"), "sweep": (
    "--epochs", "1", "--hidden", "8", "--regress-hidden", "4", "--no-compile")}  # fmt: skip


def commands(page):
    """The lines of a page's `sh` blocks; a line that ends in a backslash goes on."""
    for block in re.findall(r"^```sh\n(.*?)^```", (TUTORIALS / page).read_text(encoding="utf-8"), re.M | re.S):
        yield from block.replace("\\\n", " ").splitlines()


def run(line):
    """Run a line as a shell would: words, patterns of files, no more."""
    words = [word for each in shlex.split(line) for word in (sorted(glob.glob(each)) if "*" in each else [each])]
    name, *rest = words
    rest += SMALL.get(rest[0], ()) if name == "amnet-head" else ()
    result = CliRunner().invoke(COMMANDS[name], rest)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.output


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMNET_WEIGHTS", "untrained")
    return tmp_path


def draw(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        noise = np.random.default_rng(int(re.sub(r"\D", "", name))).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)


def test_the_paper_is_reproduced_as_its_tutorial_says(here):
    names = [f"{i}.png" for i in range(12)]
    draw(here / "data/lamem/images", names)
    (here / "data/lamem/splits").mkdir()
    for k in (1, 2):
        order = np.random.default_rng(k).permutation(12)
        for part, some in zip(("train", "val", "test"), np.split(order, (6, 9)), strict=True):
            lines = [f"{names[i]} {i / 12:.6f}\n" for i in some]
            (here / f"data/lamem/splits/{part}_{k}.txt").write_text("".join(lines))
    said = {line: run(line) for line in commands("paper.md")}
    assert "exponential kernel on moments" in next(out for line, out in said.items() if "head table" in line)
    assert "over seeds and images" in next(out for line, out in said.items() if "compare" in line)
    assert "learning rate" in next(out for line, out in said.items() if "methods" in line)
    assert {"figure-3.svg", "figure-4.svg"} <= {path.name for path in here.iterdir()}


def test_a_library_is_scored_again_as_its_tutorial_says(here, trained):
    (here / "runs").mkdir()
    for name in ("best", "better"):
        (here / "runs" / name).symlink_to(trained / "run")
    draw(here / "photos", [f"{i}.png" for i in range(6)])
    lines = [*commands("library.md")]
    rows = []
    for line in lines:
        if "--sync" in line:
            draw(here / "photos", ["7.png", "8.png"])
        run(line)
        if "--out scores.csv" in line:
            rows.append(len((here / "scores.csv").read_text().splitlines()) - 1)
    assert rows == [6, 8]
    assert len((here / "scores-better.csv").read_text().splitlines()) == 9


def test_a_folder_and_a_spreadsheet_as_their_tutorial_says(here):
    names = [f"{i:02}.png" for i in range(20)]
    draw(here / "photos", names)
    draw(here / "new", ["50.png", "51.png"])
    rows = "".join(f"{name[:-4]};{0.2 + 0.03 * i:.2f}\r\n".replace(".", ",") for i, name in enumerate(names))
    (here / "ratings.csv").write_text("Stimulus;Memorability (mean)\r\n" + rows, encoding="utf-8-sig")
    said = {line: run(line) for line in commands("spreadsheet.md")}
    assert "has no lists: 5 folds of its 20 scored images, seed 0" in next(out for line, out in said.items()
                                                                          if "baseline" in line)  # fmt: skip
    with open(here / "runs/baselines/moments-kernel/out_of_fold.csv", newline="", encoding="utf-8") as file:
        assert sorted(row["id"] for row in csv.DictReader(file)) == names
    assert (here / "report.html").stat().st_size > 10_000
    assert len((here / "scores.csv").read_text().splitlines()) == 3
