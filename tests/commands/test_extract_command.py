"""`amnet-extract` as a user meets it: exit statuses, messages, what stands on the disk afterwards."""

import contextlib
import os
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torchvision.transforms import v2

from amnet_common.collection import Collection
from extract.cli import main
from extract.trunk import build_trunk
from extract.weights import load_weights

CHEAP = ("--weights", "untrained", "--augs", "0", "--precision", "float32", "--batch-size", "2")


def extract(root, out, *more, dataset="lamem"):
    args = ["--dataset", dataset, "--root", str(root), "--out", str(out), *CHEAP, *map(str, more)]
    return CliRunner().invoke(main, args, catch_exceptions=False)


def test_all_images_done_gives_status_0_and_a_summary(root, out):
    result = extract(root, out)
    assert result.exit_code == 0
    assert re.fullmatch(
        rf"{out}: 4 images done \(4 now\), 0 failed, 0 pending, [\d.]+ views/s, 0.00 GB\n", result.stdout
    )
    collection = Collection(out)
    assert collection.read(range(4), check=True).shape == (4, 14, 14, 1024)
    assert (collection.ids, collection.labels.tolist()) == (("0.png", "1.png", "2.png", "3.png"), [0.5, 0.25, 0.75, 1])
    assert collection.split("train_1").rows.tolist() == [0, 1]


def test_failed_image_gives_status_1_and_is_named_with_its_reason(root, out):
    (root / "images" / "1.png").write_bytes(b"")
    (root / "images" / "3.png").unlink()
    first, again = extract(root, out), extract(root, out)
    assert first.exit_code == again.exit_code == 1
    assert "failed: 1.png: empty file (0 bytes)\nfailed: 3.png: missing file\n" in first.stderr
    assert "2 images done (2 now), 2 failed, 0 pending" in first.stdout
    assert "2 images done (0 now), 2 failed, 0 pending" in again.stdout


def test_limit_and_then_the_rest_give_the_bytes_of_one_run(root, out):
    whole = out.with_name("whole.h5")
    results = [
        extract(root, out, "--limit", 3),
        extract(root, out),
        extract(root, out, "--limit", 1),
        extract(root, whole),
    ]
    assert [result.exit_code for result in results] == [0] * 4
    for result, counts in zip(results, ["3 images done (3 now), 0 failed, 1 pending", "4 images done (1 now)",
                                        "1 images done (0 now), 0 failed, 0 pending"], strict=False):  # fmt: skip
        assert counts in result.stdout
    np.testing.assert_array_equal(Collection(out).read(range(4)), Collection(whole).read(range(4)))


def test_codes_are_at_most_half_a_scale_from_the_features(root, out):
    (root / "images" / "2.png").write_bytes(b"no picture")
    floats = out.with_name("floats.h5")
    coded, _ = extract(root, out, "--dtype", "uint8"), extract(root, floats)
    assert (coded.exit_code, coded.stdout.endswith(", 0.00 GB, 0 values clipped\n")) == (1, True)
    codes, rows = Collection(out), [0, 1, 3]
    wanted = Collection(floats).read_dequantised(rows)
    wrong = np.abs(codes.read_dequantised(rows, check=True) - wanted)
    assert (wrong <= 0.501 * codes.scales + 1e-3 * wanted).all()  # the features of the one are rounded to float16
    assert np.linalg.norm(wrong) < 0.02 * np.linalg.norm(wanted)


def test_dry_run_with_the_network_itself_says_its_speed_and_makes_nothing(root, out, monkeypatch):
    monkeypatch.setattr("extract.planning.PROBE_SECONDS", 0.01)
    result = extract(root, out, "--dry-run")
    assert (result.exit_code, result.stderr, os.listdir(out.parent)) == (0, "", [])
    speed = r"\nspeed      [\d.]+ views/s, probed: weights untrained \(torchvision-untrained\), float32 on "
    assert re.search(speed, result.stdout)


def test_other_number_of_views_is_refused_by_name(root, out):
    extract(root, out)
    before = out.read_bytes()
    result = extract(root, out, "--augs", 2)
    assert result.exit_code == 2
    way_out = "Use the settings it was begun with, another --out, or --overwrite to throw it away"
    assert f"view_plan.augs: expected 2, found 0. {way_out}\n" in result.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--weights", "no-such-file.pth"),
            "--weights: expected imagenet1k-v1, imagenet1k-v2 or a file, found 'no-such",
        ),
        (("--weights", __file__), f"{__file__}: expected a file ending in .safetensors, .pth, .pt, .pkl"),
        (("--root", "nowhere"), "expected nowhere/splits/train_1.txt and its like, found none; say where with --root"),
        (("--labels", "labels.csv"), "--labels FILE goes with --dataset csv, and only with it; found --dataset lamem"),
        (
            ("--out", "no/such/folder/t.h5"),
            "--out no/such/folder/t.h5: expected an existing folder, found none: No such",
        ),
        (("--out", "/proc/t.h5"), "--out /proc/t.h5: expected to create a collection there, found: "),
        (("--out", "n" * 300), "expected to create a collection there, found: "),
        (("--out", "."), ".: expected a collection, found no such file"),
        (("--out", __file__), f"{__file__}: expected a collection, found a file that HDF5 cannot read"),
        (("--augs", "-1"), "--augs: expected 0 or more augmented views, found -1"),
        (("--limit", "0"), "--limit: expected 1 or more, found 0"),
        (("--shard", "2"), "--shard: expected I/N, such as 2/4, found '2'"),
        (("--shard", "3/2"), "--shard: expected I/N with I from 1 to N, found 3/2"),
        (("--shard", "1/2", "--overwrite"), "--overwrite with --shard: each process would throw away the file of the "),
        (("--like", "no.h5"), "no.h5: expected a collection, found no such file"),
        (("--except", __file__), f"{__file__}: expected a collection, found a file that HDF5 cannot read"),
        (("--batch-size", "0"), "--batch-size: expected 1 or more, found 0"),
        (("--device", "tpu"), "--device: expected a device that torch can use, found 'tpu'"),
    ],
)
def test_wrong_use_is_one_line_and_status_2_and_leaves_nothing(root, out, monkeypatch, more, message):
    monkeypatch.chdir(out.parent)
    result = extract(root, out, *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(rf"main: [^\n]*{re.escape(message)}[^\n]*\n", result.stderr)
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [("4.png", "expected 'name.jpg 0.675000', found '4.png'"), ("4.png x", "expected a number as score, found 'x'")],
)
def test_bad_split_line_is_one_line_and_status_2(root, out, line, message):
    path = root / "splits" / "val_1.txt"
    path.write_text(f"2.png 0.75\n{line}\n")
    result = extract(root, out)
    assert (result.exit_code, result.stderr) == (2, f"main: {path}:2: {message}\n")
    assert os.listdir(out.parent) == []


def test_root_without_images_is_refused(root, out):
    for path in (root / "images").iterdir():
        path.unlink()
    result = extract(root, out)
    assert (result.exit_code, os.listdir(out.parent)) == (2, [])
    assert f"expected images such as {root}/images/0.png, found none of 4; say where with --root" in result.stderr


def test_label_table_goes_into_the_collection(root, out):
    labels = root / "labels.csv"
    labels.write_text("id;score;split\n3.png;0.1;train\n0.png;;\n")
    result = extract(root / "images", out, "--labels", labels, dataset="csv")
    collection = Collection(out)
    assert (result.exit_code, collection.ids) == (0, ("3.png", "0.png"))
    np.testing.assert_array_equal(collection.labels, [0.1, np.nan])


def test_every_odd_picture_of_a_folder_is_done_and_only_bad_ones_fail(tmp_path, out):
    root = tmp_path / "odd"
    (root / "sub folder").mkdir(parents=True)
    picture = Image.new("RGB", (30, 20), (200, 100, 50))
    for name, mode in {"A.JPG": "CMYK", "la.png": "LA", "sub folder/\u5f71.gif": "P", "i16.PNG": "I;16"}.items():
        picture.convert("L" if mode == "I;16" else mode if mode != "LA" else "L").convert(mode).save(root / name)
    Image.new("RGB", (3000, 3)).save(root / "flat.bmp")
    with contextlib.suppress(OSError):  # some file systems take only UTF-8 names
        Image.new("L", (1, 1)).save(os.fsencode(root) + b"/caf\xe9.png")
    (root / "line\nbreak.jpg").write_bytes((root / "A.JPG").read_bytes()[:300])
    result = extract(root, out, dataset="folder")
    collection = Collection(out)
    assert (result.exit_code, (collection.status == 1).sum()) == (1, len(os.listdir(root)) - 1)
    assert re.search(r"\nfailed: line\\nbreak.jpg: \S.*\n", result.stderr)
    assert collection.status[collection.ids.index("line\nbreak.jpg")] == 2


def test_msra_trunk_gives_its_own_features_of_real_photographs(shared, out):
    source, root = shared / "weights" / "resnet50-msra-trunk.safetensors", shared / "data" / "lnsim"
    assert extract(root, out, "--weights", source, "--limit", 2).exit_code == 0
    collection, weights = Collection(out), load_weights(str(source))
    assert (collection.spec.variant, collection.spec.weights_sha256) == ("msra-2015", weights.sha256)
    with Image.open(root / "images" / collection.ids[1]) as image, torch.inference_mode():
        view = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image.convert("RGB"))
        wanted = build_trunk(weights.variant, weights.state)(torch.from_numpy(np.array(view))[None])[0].numpy()
    np.testing.assert_allclose(collection.read(1)[0], wanted, atol=2e-3 * wanted.max())


def test_every_option_has_help():
    assert [option.name for option in main.params if not option.help] == []
    help_text = CliRunner().invoke(main, ["--help"]).stdout
    assert all(option.opts[0] in help_text for option in main.params)
