"""The main job once, on pictures that this script draws: extract, train, score, look at the attention.

    python examples/demo.py FOLDER [--images N]

Every picture is a calm grey background with one disc on it; the more colourful the disc, the higher the score. Needs
no download but the network's weights; where these cannot be had it says so and goes on without.
"""

import colorsys
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from amnet_common.collection import Collection
from amnet_common.errors import WeightsError
from extract.weights import load_weights

SIZE = (320, 240)
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
WITHOUT_WEIGHTS = """
*** The weights could not be had (the line above says why). Going on with an UNTRAINED network:
*** the commands work the same, but its features know nothing of the world.
*** For real work pass --weights FILE or set AMNET_WEIGHTS=FILE.
"""

MADE_HERE = ".made-by-amnet-demo"
BIN = Path(sys.executable).parent  # the commands of the environment that runs this script


class Disc(NamedTuple):
    """In pixels of the picture."""

    x: float
    y: float
    radius: float


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--images", default=240, show_default=True)
def main(folder: Path, images: int) -> None:
    """Run the demonstration in FOLDER."""
    clear(folder)
    draw_dataset(folder / "data", images, seed=0)
    features, run, scores = folder / "demo.h5", folder / "run", folder / "scores.csv"
    extract = ["amnet-extract", "--dataset", "lamem", "--root", folder / "data", "--augs", "2", "--out", features]
    run_command([*extract, *weights_options()])
    run_command(["amnet-cache", "info", features])
    train = ["amnet-head", "train", "--features", features, "--out", run]
    run_command([*train, "--batch-size", "32", "--lr", "3e-4", "--epochs", "12", "--patience", "12"])
    run_command(["amnet-head", "score", "--features", features, "--head", run, "--out", scores])
    picture = folder / "attention.png"
    attend = ["amnet-head", "attend", "--features", features, "--head", run, "--out", picture]
    run_command([*attend, *pick_images(Collection(features))])
    print(f"\nscores: {scores}\nattention maps: {picture}\nthe head: {run}")


def clear(folder: Path) -> None:
    """Make an empty folder, or empty one that this script made before; any other is refused."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MADE_HERE).exists():
            sys.exit(f"demo: expected a new or empty folder, found files of others in {folder}")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MADE_HERE).touch()


def weights_options() -> list[str]:
    """None where the default weights can be had."""
    try:
        load_weights(None)
    except WeightsError as error:
        print(f"{error}\n{WITHOUT_WEIGHTS}")
        return ["--weights", "untrained"]
    return []


def run_command(words: list[object]) -> None:
    """Show a command and run it from this environment."""
    texts = [str(word) for word in words]
    print(f"\n$ {' '.join(texts)}", flush=True)
    subprocess.run([BIN / texts[0], *texts[1:]], check=True)


def draw_dataset(root: Path, count: int, seed: int) -> dict[str, Disc]:
    """Pictures and one split in LaMem's layout; where each picture's disc is, by its name."""
    draw, discs = np.random.default_rng(seed), {}
    (root / "images").mkdir(parents=True)
    (root / "splits").mkdir()
    lines = []
    for number in range(count):
        distinctness = draw.uniform()
        name = f"{number:04}.jpg"
        image, discs[name] = draw_scene(distinctness, draw)
        image.save(root / "images" / name, quality=90)
        lines.append(f"{name} {0.3 + 0.6 * distinctness:.6f}\n")
    ends = np.rint(np.cumsum([0, *SHARES.values()]) * count).astype(int)
    for part, start, end in zip(SHARES, ends, ends[1:], strict=False):
        (root / "splits" / f"{part}_1.txt").write_text("".join(lines[start:end]))
    return discs


def draw_scene(distinctness: float, draw: np.random.Generator) -> tuple[Image.Image, Disc]:
    """Soft grey blots with one disc on them, the more colourful the more distinct."""
    image = Image.new("RGB", SIZE, colour(0, 0.5, 0))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        disc(pen, draw, radius=draw.uniform(20, 70), fill=colour(0, draw.uniform(0.4, 0.6), 0))
    image = image.filter(ImageFilter.GaussianBlur(6))
    found = disc(ImageDraw.Draw(image), draw, draw.uniform(30, 42), colour(draw.uniform(), 0.5, distinctness))
    return image, found


def colour(hue: float, lightness: float, saturation: float) -> tuple[int, int, int]:
    """8-bit RGB; hue in turns."""
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def disc(pen: ImageDraw.ImageDraw, draw: np.random.Generator, radius: float, fill: tuple[int, int, int]) -> Disc:
    """Draw a disc at a random place that lies within the picture's evaluation view."""
    x, y = draw.uniform(80, SIZE[0] - 80), draw.uniform(50, SIZE[1] - 50)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return Disc(x, y, radius)


def pick_images(collection: Collection, count: int = 5) -> list[str]:
    """Test images from the lowest to the highest score."""
    test = collection.split("test_1")
    order = test.rows[np.argsort(test.scores)]
    return [collection.ids[row] for row in order[np.linspace(0, len(order) - 1, count).astype(int)]]


if __name__ == "__main__":
    main()
