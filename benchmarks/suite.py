"""Every stage alone, and the whole, with its share of what this machine can do: one JSON file and one Markdown table.

    python benchmarks/suite.py [--device cuda] [--out FOLDER] [--work FOLDER]

`make bench` (four minutes on two cores) and `make bench-gpu` run it. Weights, pictures and features are random: what
they are changes no time. On a GPU it ends with heads over a collection of LaMem's size, where the disk has 45 GB.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import torch
from gpu_heads import PRODUCTS, together
from machine import described, to_host_rate
from stage import Stage, markdown
from stages_extract import Limits, file_stages, picture_stages, pictures, trunk_stages, whole_stages
from stages_heads import attention_stages, head_stages

from amnet_common.commands import OneLineErrors
from amnet_common.machine.compiler import compiler_works
from extract.compute import Hardware, choose_compute
from headtrain.compute.kernels import AUTO, choose_precision


@dataclass(frozen=True)
class Sizes:
    """Enough of everything for a steady rate."""

    images: int  # extracted, of 11 views
    head_images: int  # of an epoch
    head_views: int
    heads: int  # of a bank; 0: none here
    attention: int  # images of an attention step


SIZES = {"cpu": Sizes(64, 512, 2, 4, 64), "cuda": Sizes(2000, 8192, 2, 0, 256)}
LAMEM = 45_000, 4, 10, 16  # images, views, epochs, heads of a bank
LAMEM_BYTES = 45e9  # of disk
AS_WRITTEN, OURS = "trunk as written, float32 NCHW", "amnet-extract, float16"


@dataclass
class Report:
    """What has been measured so far: on the disk after every stage, whatever becomes of the next one."""

    out: Path
    machine: Mapping[str, object]
    limits: Limits
    stages: list[Stage] = field(default_factory=list)

    def take(self, stages: Iterable[Stage]) -> None:
        """Measure these."""
        for stage in stages:
            print(f"{stage.name}: {stage.rate:.4g} {stage.unit}", file=sys.stderr, flush=True)
            self.stages.append(stage)
            facts = {"machine": self.machine, "limits": asdict(self.limits),
                     "stages": [asdict(each) for each in self.stages], "ratios": self.ratios}  # fmt: skip
            (self.out / "bench.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            (self.out / "bench.md").write_text(self.text, encoding="utf-8")

    @property
    def ratios(self) -> dict[str, float]:
        """Of the stages that are there."""
        rates = {stage.name: stage.rate for stage in self.stages}
        trunk = next((name for name in reversed(rates) if name.startswith("trunk, ")), "")
        pairs = {
            "trunk, fastest / as written": (trunk, AS_WRITTEN),
            "amnet-extract / usual loop": (OURS, "usual loop"),
            "amnet-extract / trunk alone": (OURS, trunk),
            "head epoch, ours / plain": ("head epoch", "head epoch, plain"),
            "attention step, compiled / eager": ("attention step, compiled", "attention step, eager"),
        }
        return {name: rates[a] / rates[b] for name, (a, b) in pairs.items() if a in rates and b in rates}

    @property
    def text(self) -> str:
        """As Markdown."""
        return markdown(self.machine, shown(self.limits), self.stages, self.ratios)


@click.command(cls=OneLineErrors)
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", default="bench", type=click.Path(path_type=Path), show_default=True, help="Of the two files.")
@click.option("--work", type=click.Path(path_type=Path, exists=True), help="For large files.  [default: the system's]")
def main(device: str, out: Path, work: Path | None) -> None:
    """Measure, print and write."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 is meant
    compute = choose_compute(Hardware(device))
    sizes, able = SIZES[compute.kind], compiler_works(device)
    precisions = [*dict.fromkeys(("float32", compute.precision))]
    paths = [(precision, compiled) for precision in precisions for compiled in (False, *([True] if able else []))]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="amnet-bench-") as name:
        folder = Path(name)
        heads_in = choose_precision(AUTO, device)
        report = Report(out, described(device), Limits.measured(device, {*precisions, heads_in}, folder))
        report.take(trunk_stages(report.limits, paths))
        photos = pictures(folder / "images", sizes.images)
        report.take(picture_stages(report.limits, photos))
        report.take(file_stages(report.limits, folder))
        bare = next(stage.rate for stage in reversed(report.stages) if stage.name.startswith("trunk, "))
        report.take(whole_stages(report.limits, photos, bare, able))
        report.take(head_stages(report.limits, folder, sizes.head_images, sizes.head_views, sizes.heads, able))
        report.take(attention_stages(device, sizes.attention, able))
    if compute.kind == "cuda":
        report.take(large_stages(report.limits, work, heads_in))
    print(report.text, flush=True)


def large_stages(limits: Limits, work: Path | None, precision: str) -> Iterator[Stage]:
    """Heads over a collection of LaMem's size, as benchmarks/gpu_heads.py has them, where the disk can hold it; their
    products are of this precision."""
    free = shutil.disk_usage(work or tempfile.gettempdir()).free
    if free < LAMEM_BYTES:
        print(f"LaMem's size left out: expected {LAMEM_BYTES / 1e9:.0f} GB of disk, found {free / 1e9:.0f}; another: "
              "--work FOLDER", file=sys.stderr)  # fmt: skip
        return
    images, views, epochs, heads = LAMEM
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        for count in (1, heads):
            found = together(work or Path(scratch), images, views, epochs, count, limits.device)
            share = images * epochs * count / found["log"] * PRODUCTS / limits.products[precision]
            name = f"LaMem, {epochs} epochs of {'one head' if count == 1 else f'a bank of {heads}'}"
            note = f"{found['whole']:.0f} s with start and loading"
            yield Stage(name, found["log"], "s", share, f"{precision} products", note)


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
