"""Every stage alone, and the whole, with its share of what this machine can do: one JSON file and one Markdown table.

    python benchmarks/suite.py [--device cuda] [--out FOLDER] [--work FOLDER]

`make bench` (some minutes on two cores) and `make bench-gpu` (within ten) run it. Random weights, drawn pictures and
random features: what they are changes no time. On a GPU it ends with heads over a collection of LaMem's size.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from gpu_heads import PRODUCTS, both
from machine import described, to_host_rate
from stage import Stage, markdown
from stages_extract import Limits, file_stages, picture_stages, pictures, trunk_stages, whole_stages
from stages_heads import attention_stages, head_stages

from extract.compute import Hardware, choose_compute


@dataclass(frozen=True)
class Sizes:
    """Enough of everything for a steady rate."""

    images: int  # extracted, of 11 views
    head_images: int  # of an epoch
    head_views: int
    heads: int  # of a bank; 0: none here
    attention: int  # images of an attention step


SIZES = {"cpu": Sizes(64, 512, 2, 4, 64), "cuda": Sizes(2000, 8192, 2, 0, 256)}
LAMEM = 45_000, 4, 50, 16  # images, views, epochs, heads of a bank
PATHS = {
    "cpu": [("float32", False), ("float32", True)],
    "cuda": [("float32", False), ("float16", False), ("float16", True)],
}


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option(
    "--out", default="bench", type=click.Path(path_type=Path), show_default=True, help="bench.json, bench.md."
)
@click.option(
    "--work", type=click.Path(path_type=Path, exists=True), help="For large files.  [default: a temporary one]"
)
def main(device: str, out: Path, work: Path | None) -> None:
    """Measure, print and write."""
    compute = choose_compute(Hardware(device))
    sizes, paths = SIZES[compute.kind], list(PATHS[compute.kind])
    if compute.kind == "cpu" and compute.precision != "float32":
        paths += [(compute.precision, False), (compute.precision, True)]
    precisions = {"float32", compute.precision, *(["bfloat16"] if compute.kind == "cuda" else [])}
    machine, stages = described(device), []

    def note(stage: Stage) -> Stage:
        print(f"{stage.name}: {stage.rate:.4g} {stage.unit}", file=sys.stderr, flush=True)
        stages.append(stage)
        return stage

    with tempfile.TemporaryDirectory(dir=work, prefix="amnet-bench-") as name:
        folder = Path(name)
        limits = Limits.measured(device, sorted(precisions), folder)
        trunk = [note(stage) for stage in trunk_stages(limits, paths)]
        photos = pictures(folder / "images", sizes.images)
        for stage in (*picture_stages(limits, photos), *file_stages(limits, folder)):
            note(stage)
        whole = [note(stage) for stage in whole_stages(limits, photos, trunk[-1].rate)]
        heads = [note(s) for s in head_stages(limits, folder, sizes.head_images, sizes.head_views, sizes.heads)]
        attention = [note(stage) for stage in attention_stages(device, sizes.attention)]
    if compute.kind == "cuda":
        for stage in large_stages(limits, work):
            note(stage)
    ratios = {
        "trunk, fastest / as written": trunk[-1].rate / trunk[0].rate,
        "amnet-extract / usual loop": whole[1].rate / whole[0].rate,
        "amnet-extract / trunk alone": whole[1].rate / trunk[-1].rate,
        "attention step, compiled / eager": attention[1].rate / attention[0].rate,
    }
    if heads[0].name.endswith("plain"):
        ratios["head epoch, ours / plain"] = heads[1].rate / heads[0].rate
    text = markdown(machine, shown(limits), stages, ratios)
    out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine, "limits": asdict(limits), "stages": [asdict(s) for s in stages], "ratios": ratios}
    (out / "bench.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (out / "bench.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


def large_stages(limits: Limits, work: Path | None) -> Iterator[Stage]:
    """Heads over a collection of LaMem's size, 36 GB, as benchmarks/gpu_heads.py has them."""
    images, views, epochs, heads = LAMEM
    for count, found in zip((1, heads), both(work, images, views, epochs, heads, limits.device), strict=True):
        rate = images * epochs * count / found["log"]
        name = f"LaMem, {epochs} epochs of {'one head' if count == 1 else f'a bank of {heads}'}"
        yield Stage(name, found["log"], "s", rate * PRODUCTS / limits.products["bfloat16"], "bfloat16 products",
                    f"{found['whole']:.0f} s with start and loading")  # fmt: skip


def shown(limits: Limits) -> dict[str, str]:
    """For people."""
    found = {f"{precision} products": f"{rate / 1e9:.0f} GFLOP/s" for precision, rate in limits.products.items()}
    found |= {
        "copy in main memory": f"{limits.copy / 1e9:.1f} GB/s",
        "disk, written and synced": f"{limits.disk / 1e9:.2f} GB/s",
    }
    if limits.kind == "cuda":
        found["from the GPU"] = f"{to_host_rate(limits.device) / 1e9:.1f} GB/s"
    return found


if __name__ == "__main__":
    main()
