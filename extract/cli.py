"""`amnet-extract`: images to a collection."""

import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.commands import OneLineErrors, deferred_interrupt, printable
from amnet_common.datasets import NAMES, default_root, load_dataset

if TYPE_CHECKING:
    from extract.job import Job
    from extract.pipeline import RowReport

MOST_NAMED = 20  # failed images named at the end; amnet-cache info --failed names all


@click.command(cls=OneLineErrors, context_settings={"show_default": True})
@click.option("--dataset", "name", required=True, type=click.Choice(NAMES), help="Layout of the images and scores.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Its folder.  [default: $AMNET_DATA/DATASET or data/DATASET]"
)
@click.option("--labels", type=click.Path(path_type=Path), help="With --dataset csv: the table id,score[,split].")
@click.option("--out", type=click.Path(path_type=Path), help="The collection.  [default: DATASET.h5]")
@click.option("--augs", default=10, help="Augmented views of each image, beside the evaluation view.")
@click.option("--weights", help="imagenet1k-v1, imagenet1k-v2, untrained, or a .safetensors, .pth, .pt or .pkl file."
              "  [default: $AMNET_WEIGHTS or imagenet1k-v1]")  # fmt: skip
@click.option("--seed", default=0, help="Of the augmented views.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--precision", default="auto", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
              help="Of the network's arithmetic; auto: half precision where the hardware has it.")  # fmt: skip
@click.option("--batch-size", type=int, help="Views a batch.  [default: 8 on a CPU, 256 on a GPU]")
@click.option("--workers", type=click.IntRange(min=1), help="Decoding threads.  [default: by the number of cores]")
@click.option("--limit", type=int, help="Fill only the first N rows; the same command without it does the rest.")
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--allow-other-kernels", is_flag=True,
              help="Go on with a file begun on another device or version; last bits will differ.")  # fmt: skip
def main(
    name: str,
    root: Path | None,
    labels: Path | None,
    out: Path | None,
    augs: int,
    weights: str | None,
    seed: int,
    device: str,
    precision: str,
    batch_size: int | None,
    workers: int | None,
    limit: int | None,
    retry_failed: bool,
    allow_other_kernels: bool,
) -> int:
    """Run the frozen ResNet50 once over several views of every image and keep the features in one HDF5 file.

    The same command again goes on where it stopped. Exit status 0: all done; 1: done, but some images failed;
    2: wrong use or input; 130: interrupted.
    """
    dataset = load_dataset(name, root or default_root(name), labels)
    # torch takes seconds to import: --help and a bad split line need not wait for it
    from extract.compute import FrozenTrunk, choose_compute, default_workers
    from extract.crops import ViewPlan
    from extract.job import make_spec, open_job, refuse_unknown_images, require_images
    from extract.pipeline import Cutter, extract_rows
    from extract.weights import load_weights

    require_images(dataset)
    refuse_unknown_images(dataset)
    plan = ViewPlan(augs)
    compute = choose_compute(device, precision, batch_size)
    loaded = load_weights(weights, seed)
    spec = make_spec(loaded, plan, seed, compute)
    path, kernel_path = out or Path(f"{name}.h5"), compute.kernel_path()
    job = open_job(path, dataset, spec, kernel_path, loaded.source, limit, allow_other_kernels, retry_failed)
    settings = f"weights {loaded.source} ({loaded.variant.name}), {compute.precision} on {compute.device}"
    click.echo(
        f"{job.path}: {len(job.rows)} of {job.total} images to do, {plan.views} views each; {settings}", err=True
    )
    failed: list[RowReport] = []
    started = time.monotonic()
    if job.rows:
        trunk = FrozenTrunk(loaded, compute)
        workers = workers or default_workers(compute.device.split(":")[0])
        reports = extract_rows(job.path, job.rows, Cutter(dataset, plan, seed), trunk, compute.batch_size, workers)
        with contextlib.closing(reports):
            failed = _watch(reports, len(job.rows), plan.views, job.path)
    for report in failed[:MOST_NAMED]:
        click.echo(f"failed: {printable(dataset.ids[report.row])}: {report.error}", err=True)
    if len(failed) > MOST_NAMED:
        click.echo(f"... and {len(failed) - MOST_NAMED} more; all: amnet-cache info --failed {job.path}", err=True)
    click.echo(summary(job, len(failed), plan.views, time.monotonic() - started))
    return 1 if failed or job.failed else 0


def _watch(reports: Iterable["RowReport"], images: int, views: int, path: Path) -> list["RowReport"]:
    """Show progress in views/s and time left; the rows that failed."""
    from tqdm import tqdm

    failed = []
    interval = 0.5 if sys.stderr.isatty() else 30.0  # a log file wants few lines
    try:
        with (
            deferred_interrupt() as check_interrupt,
            tqdm(total=images * views, unit="views", desc="extract", mininterval=interval, smoothing=0.05) as bar,
        ):
            for report in reports:
                check_interrupt()
                bar.update(views)
                if report.error:
                    failed.append(report)
                    bar.set_postfix(failed=len(failed), refresh=False)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{path} keeps what is finished; the same command again goes on from there") from None
    return failed


def summary(job: "Job", failed: int, views: int, seconds: float) -> str:
    """The last line: images done and failed, views/s, file size."""
    done_now = len(job.rows) - failed
    rate = done_now * views / seconds if job.rows else 0.0
    size = job.path.stat().st_size
    return (f"{job.path}: {job.done + done_now} images done ({done_now} now), {job.failed + failed} failed, "
            f"{job.beyond} pending, {rate:.1f} views/s, {size / 1e9:.2f} GB")  # fmt: skip
