"""What the host does for a step of training, whatever the device: heads so small that their arithmetic takes no time.

    python benchmarks/host_time.py [--heads 1,16] [--other CHECKOUT ...]

Milliseconds a step of 256 images by the log, the fastest epoch after the first, validation and log within.
`--other`: checkouts of other versions, measured in turn with this one. On a CPU a step is four passes of 64 images; the
last column has it in one pass, as on a GPU (where earlier versions took four as well).
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.datasets.records import SplitList

PRESETS = ("amnet", "paper", "released")
SHAPE, BATCH, STEPS, EPOCHS = (1, 2, 8), 256, 40, 3
HERE = Path(__file__).parents[1]
RUN = "import sys; from headtrain.cli import main; main()"
IN_ONE_PASS = f"import headtrain.training.pass_size as size; size.CHUNK = {BATCH}; {RUN}"
WORDS = ["sweep", "--split", 1, "--epochs", EPOCHS, "--batch-size", BATCH, "--hidden", 8, "--regress-hidden", 8,
         "--no-compile", "--precision", "float32", "--device", "cpu", "--no-check", "--residency", "ram",
         "--no-test"]  # fmt: skip


@click.command()
@click.option("--heads", default="1,16", show_default=True)
@click.option("--other", "others", multiple=True, type=click.Path(path_type=Path), help="Checkouts to compare with.")
def main(heads: str, others: tuple[Path, ...]) -> None:
    """Measure and print."""
    sides = [(place.resolve().name, place, RUN) for place in (*others, HERE)] + [("in one pass", HERE, IN_ONE_PASS)]
    print("| preset | heads | " + " | ".join(f"{name}, ms a step" for name, _, _ in sides) + " |")
    print("|---" * (2 + len(sides)) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        features = tiny_collection(Path(scratch) / "tiny.h5")
        for preset in PRESETS:
            for count in map(int, heads.split(",")):
                words = [*WORDS, "--features", features, "--preset", preset, "--seeds", count,
                         "--heads-per-pass", count]  # fmt: skip
                cells = [f"{ms_a_step(place, code, words, count):.1f}" for _, place, code in sides]
                print(f"| {preset} | {count} | " + " | ".join(cells) + " |", flush=True)


def tiny_collection(path: Path) -> Path:
    """Random views of so few numbers that computing with them costs nothing."""
    count, draw = BATCH * STEPS, np.random.default_rng(0)
    lists = {
        f"{name}_1": SplitList(np.arange(start, stop), draw.random(stop - start))
        for name, start, stop in (("train", 0, count), ("val", count, count + 8), ("test", count + 8, count + 16))
    }
    dataset = Dataset("bench", path.parent, tuple(f"{row}.jpg" for row in range(count + 16)), lists)  # fmt: skip
    spec = Spec("tiny", "torchvision", "00" * 32, "rgb8", {"name": "standard", "augs": 0}, 0, "float32", "float16",
                view_shape=SHAPE)  # fmt: skip
    create_skeleton(path, dataset, 1, spec, {}, {}, None)
    with RowWriter(path) as writer:
        for row in range(count + 16):
            writer.write_view(row, 0, draw.random(SHAPE).astype(np.float16))
            writer.finish(row, ImageFacts(), np.zeros((1, 5), np.float32))
    return path


def ms_a_step(checkout: Path, code: str, words: list[object], heads: int) -> float:
    """Of the whole bank."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", code, *map(str, words), "--out", f"{scratch}/s"]
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, cwd=scratch, capture_output=True)
        logs = [[*csv.DictReader(log.read_text().splitlines())] for log in Path(scratch).rglob("log.csv")]
    return min(float(row["seconds"]) for row in logs[0][1:]) * heads / STEPS * 1e3


if __name__ == "__main__":
    main()
