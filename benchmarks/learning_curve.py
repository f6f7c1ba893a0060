"""How many images are enough: heads and baselines trained on some of a collection's images, tested on whole test lists.

    python benchmarks/learning_curve.py --features lnsim.h5 --out curve [--sizes 100,200,400,800] [--splits 5]

Of each split's training and validation lists N images are drawn by a seed: four fifths train, one fifth validates. The
test lists stay whole. Everything is done by the commands that a user has; what is finished is not done again.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from amnet_common.collection import Collection

SIZES = "100,200,400,800"
VALIDATION = 0.2  # of the images drawn
SYSTEMS = ("ridge", "kernel-ridge", "exponential-kernel", "moments-kernel")
FLAT = 0.1  # of the scores' standard deviation: a head below it has learnt next to nothing


@click.command()
@click.option("--features", required=True, type=click.Path(path_type=Path), help="A collection with lists of splits.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of tables, links and runs.")
@click.option("--sizes", default=SIZES, help="Numbers of images.")
@click.option("--splits", default=5, help="So many of the collection's splits.")
@click.option("--train", "words", default="", help="More options of amnet-head train.")
def main(features: Path, out: Path, sizes: str, splits: int, words: str) -> None:
    """Print a row for each size: mean test rho of each baseline and of the default head."""
    out.mkdir(parents=True, exist_ok=True)
    os.environ["AMNET_LINK_ROOTS"] = str(features.absolute().parent)
    print("| images | " + " | ".join(name.replace("-", " ") for name in SYSTEMS) + " | head | flat heads |")
    print("|---" * (len(SYSTEMS) + 3) + "|")
    for size in map(int, sizes.split(",")):
        part = out / f"{size}.h5"
        if not part.exists():
            write_lists(Collection(features), size, splits, out / f"{size}.csv")
            run(
                "amnet-cache",
                "relabel",
                features,
                "--labels",
                out / f"{size}.csv",
                "--list-column",
                "list",
                "--out",
                part,
            )
        fitted, trained = out / f"{size}-baselines", out / f"{size}-head"
        if not fitted.exists():
            run("amnet-head", "baseline", "--features", part, "--split", "all", "--out", fitted)
        run("amnet-head", "train", "--features", part, "--split", "all", "--out", trained,
            *(["--resume"] if trained.exists() else []), *words.split())  # fmt: skip
        found = [figures(fitted / name) for name in SYSTEMS]
        heads = figures(trained)
        flat = sum(one["predicted_sd"] < FLAT * one["score_sd"] for one in heads)
        print(
            f"| {size} | " + " | ".join(mean_rho(one) for one in [*found, heads]) + f" | {flat} of {len(heads)} |",
            flush=True,
        )


def write_lists(collection: Collection, size: int, splits: int, out: Path) -> None:
    """Write a table of whole list names: an image has a row for each list that it stands in, with its score there."""
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("id", "score", "list"))
        for k in range(1, splits + 1):
            train, val, test = (collection.split(f"{name}_{k}") for name in ("train", "val", "test"))
            rows, scores = np.concatenate([train.rows, val.rows]), np.concatenate([train.scores, val.scores])
            drawn = np.random.default_rng(k).permutation(len(rows))[:size]
            held = round(VALIDATION * size)
            lists = (
                (f"train_{k}", rows[drawn[held:]], scores[drawn[held:]]),
                (f"val_{k}", rows[drawn[:held]], scores[drawn[:held]]),
                (f"test_{k}", test.rows, test.scores),
            )
            for name, some, of in lists:
                for row, score in zip(some.tolist(), of.tolist(), strict=True):
                    table.writerow((collection.ids[row], score, name))


def run(*words: object) -> None:
    """Run a command beside this Python; its messages go to stderr."""
    command = [str(Path(sys.executable).parent / str(words[0])), *map(str, words[1:])]
    subprocess.run(command, check=True, stdout=sys.stderr)


def figures(folder: Path) -> list[dict[str, float]]:
    """Read the test figures of every split."""
    return [json.loads(path.read_text())["test"] for path in sorted(folder.glob("split-*/metrics.json"))]


def mean_rho(found: list[dict[str, float]]) -> str:
    """Return the mean and the standard deviation of rho over the splits; 0 where it is not defined."""
    rhos = np.nan_to_num(np.array([one["rho"] for one in found], np.float64))
    return f"{rhos.mean():.3f} ± {rhos.std(ddof=1):.3f}"


if __name__ == "__main__":
    main()
