"""What the scores are called: kept by a collection, said by report, figures, methods and info."""

import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.score_names import score_name_of
from extract.cli import main as extract
from headtrain.cli import main as head


def invoke(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def named(trained, tmp_path):
    """A run on a collection that was relabelled with the name valence."""
    lists = [(i, part) for part, numbers in (("train", range(4)), ("val", (4, 5)), ("test", (6, 7))) for i in numbers]
    (trained / "l.csv").write_text("id,score,split\n" + "".join(f"{i}.png,{i / 10},{part}\n" for i, part in lists))
    out = trained / f"{tmp_path.name}.h5"  # a link names its parts below its own folder
    words = ("relabel", trained / "f.h5", "--labels", trained / "l.csv", "--out", out)
    assert invoke(cache, *words, "--score-name", "valence").exit_code == 0
    small = ("--epochs", 1, "--hidden", 8, "--device", "cpu", "--out", tmp_path / "run")
    assert invoke(head, "train", "--features", out, *small).exit_code == 0
    return out, tmp_path / "run"


def test_the_name_is_kept_and_the_commands_take_it_from_there(named, trained, tmp_path):
    path, run = named
    assert "             called valence" in invoke(cache, "info", path).stdout.splitlines()
    again = ("relabel", path, "--labels", trained / "l.csv", "--out", trained / f"{tmp_path.name}-2.h5")
    assert invoke(cache, *again).exit_code == 0
    assert score_name_of(Collection(again[-1])) == "valence"
    page = tmp_path / "p.html"
    assert invoke(head, "report", run, "--features", path, "--gallery", 1, "--out", page).exit_code == 0
    assert '"score_name":"valence"' in page.read_text().replace(": ", ":")
    assert invoke(head, "methods", run).stdout.startswith("Valence of the images")
    for name, text in (("histogram", "<!-- valence -->"), ("slope", "<!-- human valence -->")):
        picture = tmp_path / f"{name}.svg"
        assert invoke(head, "figure", name, run, "--out", picture).exit_code == 0
        assert text in picture.read_text()


def test_what_is_given_wins_and_memorability_is_what_nobody_named(named, trained, tmp_path):
    _, run = named
    assert invoke(head, "methods", run, "--score-name", "arousal").stdout.startswith("Arousal of the images")
    assert invoke(head, "methods", trained / "run").stdout.startswith("Memorability of the images")
    assert score_name_of(Collection(trained / "f.h5")) == "memorability"
    page = tmp_path / "p.html"
    words = ("report", trained / "run", "--features", trained / "f.h5", "--gallery", 1, "--out", page)
    assert invoke(head, *words).exit_code == 0
    assert '"score_name":"memorability"' in page.read_text().replace(": ", ":")


def test_the_page_speaks_of_the_score_by_its_name(named, tmp_path, open_page):
    path, run = named
    texts = {}
    for name in ("valence", "memorability"):
        words = ("report", run, "--features", path, "--gallery", 1, "--out", tmp_path / f"{name}.html")
        assert invoke(head, *words, "--score-name", name).exit_code == 0
        texts[name] = open_page(tmp_path / f"{name}.html").locator("#kind option").all_inner_texts()
    assert texts["valence"][:2] == ["highest valence", "lowest valence"]
    assert texts["memorability"][:2] == ["most memorable", "least memorable"]


def test_amnet_extract_keeps_the_name(trained, tmp_path):
    words = ("--dataset", "folder", "--root", trained / "images", "--weights", "untrained", "--augs", 0, "--limit", 1)
    out = tmp_path / "n.h5"
    assert invoke(extract, *words, "--score-name", "valence", "--out", out).exit_code == 0
    assert score_name_of(Collection(out)) == "valence"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 61])
def test_what_is_no_name_is_refused_in_one_line(trained, tmp_path, name):
    words = ("relabel", trained / "f.h5", "--labels", tmp_path / "none.csv", "--out", tmp_path / "n.h5")
    result = invoke(cache, *words, "--score-name", name)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--score-name: expected a word or two" in result.stderr
