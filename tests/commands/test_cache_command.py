"""`amnet-cache` as typed: info, verify, link, relabel and export."""

import dataclasses
import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset


@pytest.fixture
def invoke():
    """invoke(words...) -> click's result."""
    return lambda *words: CliRunner().invoke(cache, [str(word) for word in words])


@pytest.fixture
def path(make_collection):
    """a.jpg and b.jpg done, c.jpg failed, d.jpg pending."""
    return make_collection(done=[0, 1], failed={2: "empty file"})


def flip_bit(path, dataset: str, place: int = 0) -> None:
    with h5py.File(path) as file:
        offset = file[dataset].id.get_offset() + place
    with open(path, "r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1]))


def one_line(result) -> str:
    """The one line of an error with status 2."""
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


def test_info_names_parts_and_counts_of_a_link(make_collection, invoke, tmp_path):
    one = make_collection(ids=["a", "b"], done=[0], name="one.h5")
    two = make_collection(ids=["c"], done=[0], name="two.h5")
    invoke("link", one, two, "--out", tmp_path / "all.h5")
    result = invoke("info", tmp_path / "all.h5")
    assert result.exit_code == 0
    for part, done in ((one, "1 of 2"), (two, "1 of 1")):
        assert f"part         {part}: {done} images done, images in None\n" in result.output
    assert "rows         3 images: 2 done, 0 failed, 1 pending\n" in result.output


def test_info_tells_of_damaged_marks(path, invoke):
    flip_bit(path, "checksums")
    output = invoke("info", path).output
    assert "damaged      1 rows whose mark does not hold; they count as pending\n" in output
    assert "rows         4 images: 1 done, 1 failed, 2 pending\n" in output


def test_info_cannot_steer_the_terminal(make_collection, invoke):
    path = make_collection(ids=["\x1b[2J.jpg"], failed={0: "\x1b]0;x\x07"})
    assert invoke("info", "--failed", path).output == "\\x1b[2J.jpg: \\x1b]0;x\\x07\n"


@pytest.mark.parametrize(("option", "what"), [((), "all checksums"), (("--quick",), "structure and marks")])
def test_verify_of_a_sound_collection_ends_with_0(path, invoke, option, what):
    result = invoke("verify", path, *option)
    assert (result.exit_code, result.stdout) == (0, f"{path}: 4 images: 2 done, 1 failed, 1 pending; {what} hold\n")


def test_verify_names_bad_rows_and_ends_with_1(path, invoke):
    flip_bit(path, "segments/0000")
    flip_bit(path, "segments/0000", 401_408)
    before = path.read_bytes()
    result = invoke("verify", path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}: a.jpg: row 0 view 0: the features do not match their checksum",
        f"{path}: a.jpg: row 0 view 1: the features do not match their checksum",
        f"{path}: 1 bad rows; --repair marks them pending, so that amnet-extract fills them again",
    ]
    assert path.read_bytes() == before


def test_quick_verify_sees_marks_and_no_features(path, invoke):
    flip_bit(path, "segments/0000")
    assert invoke("verify", path, "--quick").exit_code == 0
    flip_bit(path, "views", 40)
    result = invoke("verify", path, "--quick")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        1,
        f"{path}: b.jpg: row 1: the mark does not hold; it counts as pending",
    )


def test_repair_ends_with_1_and_after_it_all_is_well(path, invoke):
    flip_bit(path, "segments/0000")
    result = invoke("verify", path, "--repair")
    assert result.exit_code == 1
    last = f"{path}: 1 bad rows marked pending; the same amnet-extract fills them again"
    assert result.stdout.splitlines()[-1] == last
    assert Collection(path).status.tolist() == [0, 1, 2, 0]
    result = invoke("verify", path, "--repair")
    assert (result.exit_code, "1 done, 1 failed, 2 pending; all checksums hold" in result.stdout) == (0, True)


def test_broken_seal_is_named_and_nothing_is_there_to_repair(path, invoke):
    with open(path, "ab") as file:
        file.write(b"x")
    before = path.read_bytes()
    result = invoke("verify", path, "--quick", "--repair")
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"{path}: bytes changed that are never written again")
    assert path.read_bytes() == before


def test_repair_while_another_writes_is_refused_in_one_line(path, invoke):
    flip_bit(path, "segments/0000")
    with RowWriter(path):
        result = invoke("verify", path, "--repair")
    assert result.exit_code == 75
    message = f"main verify: {path}: expected rows 0 to 0 for this process alone, found another writing there"
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_verify_of_a_link_checks_its_parts(make_collection, invoke, tmp_path):
    one, two = (make_collection(ids=[name], done=[0], name=f"{name}.h5") for name in "ab")
    invoke("link", one, two, "--out", tmp_path / "all.h5")
    assert invoke("verify", tmp_path / "all.h5").exit_code == 0
    flip_bit(two, "segments/0000")
    result = invoke("verify", tmp_path / "all.h5")
    assert (result.exit_code, f"{two}: b: row 0 view 0: the features" in result.stdout) == (1, True)


def test_every_problem_is_named_after_the_repair(make_collection, invoke):
    path = make_collection(done=[0, 1, 2, 3])
    for row in range(4):
        flip_bit(path, "segments/0000", row * 2 * 401_408)
    lines = invoke("verify", path, "--repair").stdout.splitlines()
    assert [line.split(": the")[0] for line in lines[:4]] == [f"{path}: {row}: row {i} view 0" for i, row in
                                                               enumerate(Collection(path).ids)]  # fmt: skip
    assert lines[4:] == [f"{path}: 4 bad rows marked pending; the same amnet-extract fills them again"]


def test_link_joins_and_notes_other_kernels(make_collection, invoke, tmp_path, spec):
    one, two = make_collection(ids=["a"], done=[0], name="one.h5"), tmp_path / "two.h5"
    create_skeleton(two, Dataset("test", tmp_path, ("b",)), 2, spec, {"mode": "compiled"}, {})
    result = invoke("link", one, two, "--out", tmp_path / "all.h5")
    assert (result.exit_code, result.stdout) == (
        0,
        f"{tmp_path / 'all.h5'}: 2 images: 1 done, 0 failed, 1 pending, in 2 parts\n",
    )
    note = f"note: other kernels, last bits may differ: {two}: mode: expected eager, found compiled\n"
    assert result.stderr == note


@pytest.mark.parametrize("command", ["link", "relabel", "export"])
def test_existing_output_is_refused_in_one_line(path, invoke, tmp_path, command):
    out, labels = tmp_path / "taken.npy", tmp_path / "new.csv"
    out.write_text("mine")
    labels.write_text("id,score\na.jpg,0.5\n")
    result = invoke(command, path, "--out", out, *(["--labels", labels] if command == "relabel" else []))
    assert result.exit_code == 2
    assert re.search(rf"^main {command}: --out {re.escape(str(out))}: expected .*, found.* exists", result.stderr, re.M)
    assert out.read_text() == "mine"


def test_link_of_overlapping_parts_is_refused_in_one_line(make_collection, invoke, tmp_path):
    one, two = (make_collection(ids=["a"], done=[0], name=name) for name in ("one.h5", "two.h5"))
    line = one_line(invoke("link", one, two, "--out", tmp_path / "all.h5"))
    assert line == (f"main link: {two}: expected ids that no other part has features of, found 'a' in {one} too "
                    "(1 ids overlap)")  # fmt: skip
    assert not (tmp_path / "all.h5").exists()


def test_missing_part_is_one_line_for_every_command(make_collection, invoke, tmp_path):
    part = make_collection(ids=["a"], done=[0])
    linked = tmp_path / "all.h5"
    invoke("link", part, "--out", linked)
    part.unlink()
    for words in (["info"], ["verify"], ["export", "--out", tmp_path / "x.npy"], ["link", "--out", tmp_path / "b.h5"]):
        line = one_line(invoke(words[0], linked, *words[1:]))
        wanted = f"{linked}: expected its part {part}, found no such file; bring it back or link again"
        assert line == f"main {words[0]}: {wanted}"


def test_relabel_says_how_many_images_have_a_score(path, invoke, tmp_path):
    labels, out = tmp_path / "new.csv", tmp_path / "new.h5"
    labels.write_text("id,score,split\na.jpg,0.5,train\nd.jpg,0.25,test\n")
    result = invoke("relabel", path, "--labels", labels, "--out", out)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{out}: 4 images: 2 done, 1 failed, 1 pending; 2 images have a score\n",
    )
    assert Collection(out).split("test_1").rows.tolist() == [3]


def test_relabel_with_an_unknown_image_is_one_line(path, invoke, tmp_path):
    (tmp_path / "new.csv").write_text("id,score\nzebra.jpg,0.5\n")
    line = one_line(invoke("relabel", path, "--labels", tmp_path / "new.csv", "--out", tmp_path / "new.h5"))
    assert f"expected images of {path}, found 'zebra.jpg' and 0 more that it does not hold" in line


@pytest.mark.parametrize(("views", "shape"), [("0", (2, 14, 14, 1024)), ("all", (2, 2, 14, 14, 1024))])
def test_export_writes_the_finished_images(path, invoke, tmp_path, views, shape):
    result = invoke("export", path, "--out", tmp_path / "x.npy", "--views", views)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{tmp_path / 'x.npy'}: 2 of 4 images, 0.00 GB; 2 without features are left out\n",
    )
    assert np.load(tmp_path / "x.npy").shape == shape
    assert (tmp_path / "x.npy.ids.txt").read_text() == "a.jpg\nb.jpg\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.txt", "--out: expected a name that ends in .npy or .npz, found"),
        ("no/x.npy", "cannot be written: No such file or directory"),
    ],
)
def test_export_to_a_bad_place_is_one_line(path, invoke, tmp_path, name, message):
    result = invoke("export", path, "--out", tmp_path / name)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_damaged_features_end_an_export_with_one_line(path, invoke, tmp_path):
    flip_bit(path, "segments/0000", 7)
    result = invoke("export", path, "--out", tmp_path / "x.npz")
    assert result.exit_code == 2
    assert re.search(r"row 0 \(a.jpg\) view 0: expected checksum", result.stderr)
    assert not (tmp_path / "x.npz").exists()


def test_clipped_values_are_counted_by_info(invoke, tmp_path, spec):
    scales = np.ones(1024, np.float32)
    coded = dataclasses.replace(spec, dtype="uint8", scales_sha256=scales_sha256(scales))
    path = tmp_path / "codes.h5"
    create_skeleton(path, Dataset("test", tmp_path, ("a",)), 1, coded, {}, {}, scales)
    assert "clipped      0 values above the range of their channel's codes\n" in invoke("info", path).output
    with RowWriter(path) as writer:
        writer.write_view(0, 0, np.zeros((14, 14, 1024), np.uint8))
        writer.finish(0, ImageFacts(), np.zeros((1, 5)), clipped=20)
    line = "clipped      20 values above the range of their channel's codes (9.96e-05 of them)\n"
    assert line in invoke("info", path).output


def test_what_a_table_said_of_ratings_is_kept_until_another_table_comes(path, invoke, tmp_path):
    images, raters = ("a.jpg", "b.jpg", "d.jpg"), "PQRS"
    lines = [f"{rater},{id_},{k}" for rater in raters for k, id_ in enumerate(images)]
    (tmp_path / "l.csv").write_text("\n".join(["rater,id,score", *lines]))
    (tmp_path / "m.csv").write_text("id,score\nA.JPG,1\n")
    first = invoke("relabel", path, "--labels", tmp_path / "l.csv", "--out", tmp_path / "l.h5")
    assert (
        "note: 12 ratings of 3 images by 4 raters, 4 an image (4 to 4): the mean of each is its score" in first.stderr
    )
    line = "ratings      12, at least 4 an image, at most 4, 4 raters, split-half rho 1, Spearman-Brown 1\n"
    assert line in invoke("info", tmp_path / "l.h5").stdout
    second = invoke("relabel", tmp_path / "l.h5", "--labels", tmp_path / "m.csv", "--out", tmp_path / "m.h5")
    assert f"note: 1 names nearly match images of {tmp_path / 'l.h5'} (case), such as 'A.JPG'" in second.stderr
    assert "ratings " not in invoke("info", tmp_path / "m.h5").stdout
    assert "ratings " not in invoke("info", invoke_link(invoke, tmp_path)).stdout


def invoke_link(invoke, tmp_path):
    """A link of the second table's collection."""
    invoke("link", tmp_path / "m.h5", "--out", tmp_path / "n.h5")
    return tmp_path / "n.h5"
