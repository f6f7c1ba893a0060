"""Other trunks from the photographs to the page: every command takes their collections, and predict their trunk."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from extract.cli import main as extract
from headtrain.cli import main as head
from headtrain.heads.checkpoint import load_head


def run(command, *words):
    result = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def photos(tmp_path):
    """Eight pictures with scores and lists."""
    (tmp_path / "photos").mkdir()
    lines = ["id,score,split"]
    for i, split in enumerate(("train",) * 4 + ("val",) * 2 + ("test",) * 2):
        noise = np.random.default_rng(i).integers(0, 256, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
        lines.append(f"{i}.png,{0.1 * i:.1f},{split}")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("trunk", "shape"), [("resnet18-layer3", (14, 14, 256)), ("timm:vit_small_patch14_dinov2@112", (8, 8, 384))]
)
def test_another_trunk_goes_from_photographs_to_the_page(photos, trunk, shape):
    pytest.importorskip("matplotlib")
    if trunk.startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed; pip install 'amnet[timm]'")
    folder = photos.parent
    features, ended = folder / "f.h5", folder / "run"
    words = ["--dataset", "csv", "--root", photos, "--labels", folder / "scores.csv", "--augs", 0, "--device", "cpu"]
    run(extract, *words, "--trunk", trunk, "--weights", "untrained", "--out", features)
    run(cache, "verify", features)
    assert Collection(features).view_shape == shape
    run(head, "train", "--features", features, "--out", ended, "--epochs", 1, "--hidden", 8, "--device", "cpu")
    made = load_head(ended)
    assert (made.config.locations, made.config.channels) == (shape[0] * shape[1], shape[2])
    run(head, "score", "--features", features, "--head", ended, "--out", folder / "s.csv")
    scores = (folder / "s.csv").read_text().splitlines()
    assert len(scores) == 9
    maps = ["--out", folder / "a.png", "--maps", folder / "m.npy"]
    run(head, "attend", "--features", features, "--head", ended, *maps, "0.png", "7.png")
    assert np.load(folder / "m.npy").shape == (2, 3, *shape[:2])
    run(head, "report", ended, "--features", features, "--out", folder / "page.html")
    said = run(head, "show", ended)
    assert trunk.replace("resnet18-layer3", "torchvision:resnet18/layer3") in said
    if trunk == "resnet18-layer3":
        said = run(head, "predict", photos / "3.png", "--head", ended, "--weights", "untrained", "--device", "cpu")
        wanted = next(line.split(",")[1] for line in scores if line.startswith("3.png"))
        assert float(said.split()[0]) == pytest.approx(float(wanted), abs=2e-3)
