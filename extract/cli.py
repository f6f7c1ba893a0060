"""`amnet-extract`: images to a collection."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE, DTYPES, FAILED, PENDING
from amnet_common.collection.score_names import named
from amnet_common.commands import OneLineErrors, deferred_interrupt, progress, say, version_option
from amnet_common.datasets import NAMES, Choice, Columns, load_dataset
from amnet_common.datasets.columns import ID, LIST, RATER, SCORE, SPLIT
from amnet_common.datasets.extremes import questions, range_line
from amnet_common.datasets.records import Dataset, subset
from amnet_common.images import Limits
from amnet_common.images.colours import CONVERTED, IGNORED
from amnet_common.table_options import table_options
from extract.crops import PLANS, ViewPlan, of_trunk, of_version, view_plan
from extract.found import look
from extract.job import Job, decide
from extract.known import NewImages, find_new_images
from extract.makers import described, lines_at_hand
from extract.request import Request, Shard
from extract.trunk_description import USUAL
from extract.weight_source import VARIANT_NAMES, Expected, chosen_source, is_remembered

if TYPE_CHECKING:
    from extract.compute import Hardware
    from extract.opening import Tools
    from extract.pipeline import RowReport

MOST_NAMED = 20  # failed images named at the end; amnet-cache info --failed names all
PATH = click.Path(path_type=Path)
DEFAULT_PLAN, DEFAULT_AUGS, DEFAULT_SEED, DEFAULT_DTYPE = ViewPlan.name, ViewPlan.augs, Request.seed, Request.dtype


def list_trunks(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the networks that are at hand for --trunk, and end."""
    if asked and not ctx.resilient_parsing:
        for line in lines_at_hand():
            say(line)
        ctx.exit()


@click.command(cls=OneLineErrors, context_settings={"show_default": True})
@version_option
@click.option("--dataset", "name", required=True, type=click.Choice(NAMES), help="Layout of the images and scores.")
@click.option("--root", type=PATH, help="Its folder.  [default: $AMNET_DATA/DATASET or data/DATASET]")
@click.option("--labels", type=PATH, help="With --dataset csv: the table id,score[,split].")
@table_options(ID, SCORE, SPLIT, LIST, RATER)
@click.option("--score-name", show_default=False, help="What the scores are called, valence say, in report, figure and"
              " methods.  [default: memorability]")  # fmt: skip
@click.option("--exclude", "excluded", multiple=True, metavar="GLOB", help="With --dataset folder: leave out files and"
              " folders of this name, or path if it has a slash. May be given again.")  # fmt: skip
@click.option("--include", "included", multiple=True, metavar="GLOB", help="With --dataset folder: take only these; or,"
              " naming a folder that is left out by itself (@eaDir), that too. May be given again.")  # fmt: skip
@click.option("--out", type=PATH, help="The collection.  [default: DATASET.h5]")
@click.option("--plan", type=click.Choice([*PLANS]), help="What the views show: standard crops; or, as the authors'"
              " release, the whole image squashed (squash), with crops drawn in 264x264 (squash264); or the whole"
              " image, and large crops of its own shape (full)."
              f"  [default: {DEFAULT_PLAN}]")  # fmt: skip
@click.option("--plan-version", type=int, help="Of standard: 2 shows as view 0 just what torchvision's Resize(256) and"
              " CenterCrop(224) show, 1 as before.  [default: of the file or --like, else 2]")  # fmt: skip
@click.option("--augs", type=int, help="Augmented views of each image, beside the evaluation view."
              f"  [default: {DEFAULT_AUGS}]")  # fmt: skip
@click.option("--trunk", "trunk_name", metavar="NAME", help="The network and its layer: torchvision:NETWORK/LAYER, "
              f"NETWORK-LAYER, timm:NETWORK; @SIZE behind it for another input size.  [default: {USUAL}]")  # fmt: skip
@click.option("--list-trunks", is_flag=True, is_eager=True, expose_value=False, callback=list_trunks,
              help="List the networks that are at hand for --trunk.")  # fmt: skip
@click.option("--weights", help="imagenet1k-v1, imagenet1k-v2, untrained, or a .safetensors, .pth, .pt or .pkl file."
              "  [default: $AMNET_WEIGHTS or imagenet1k-v1]")  # fmt: skip
@click.option("--variant", type=click.Choice(VARIANT_NAMES), help="Wiring and input of a ResNet50's file of weights"
              " that names none.  [default: torchvision, or what is recognised]")  # fmt: skip
@click.option("--expect-weights", default="", metavar="SHA256", show_default=False, help="Refuse other weights than"
              " these before the first image; as amnet-cache info prints it.")  # fmt: skip
@click.option("--seed", type=int, help=f"Of the augmented views and the sample for scales.  [default: {DEFAULT_SEED}]")
@click.option("--dtype", type=click.Choice([*DTYPES]), help="Of the stored features; uint8 takes half the disk."
              f"  [default: {DEFAULT_DTYPE}]")  # fmt: skip
@click.option("--like", type=PATH, help="Take --trunk, --plan, --augs, --seed, --dtype, --precision and the scales of"
              " this collection, so that both can be linked.")  # fmt: skip
@click.option("--except", "old", type=PATH, multiple=True, help="Leave out images that this collection holds, by"
              " content. May be given again.")  # fmt: skip
@click.option("--shard", default="1/1", help="I/N: fill only part I of N parts of the rows.")
@click.option("--limit", type=int, help="Fill only the first N rows; the same command without it does the rest.")
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--update", is_flag=True, help="Extract images anew whose files have changed.")
@click.option("--rehash", is_flag=True, help="Look for changed files by content, not by size and time.")
@click.option("--only-begun", is_flag=True, help="Leave out images that the collection was not begun with.")
@click.option("--overwrite", is_flag=True, help="Throw away the collection that is there and begin anew.")
@click.option("--dry-run", is_flag=True, help="Print images, views, bytes, free disk and time from a short probe.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--precision", default="auto", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
              help="Of the network's arithmetic; auto: half precision where the hardware has it.")  # fmt: skip
@click.option("--compile/--no-compile", "compiled", default=None, show_default=False,
              help="Compile the network.  [default: where the job is long enough and there is a compiler]")  # fmt: skip
@click.option("--batch-size", type=int, help="Views a batch.  [default: 8 on a CPU, 256 on a GPU]")
@click.option("--threads", type=click.IntRange(min=1), help="Of the network on a CPU.  [default: one a core]")
@click.option("--workers", type=click.IntRange(min=1), help="Decoding threads.  [default: by the number of cores]")
@click.option("--max-megapixels", type=float, default=Limits.max_megapixels,
              help="Larger pictures fail; with it grows the memory that decoding may take.")  # fmt: skip
@click.option("--allow-other-kernels", is_flag=True,
              help="Go on with a file begun on another device or version; last bits will differ.")  # fmt: skip
def main(
    name: str, root: Path | None, labels: Path | None, score_name: str | None,
    excluded: tuple[str, ...], included: tuple[str, ...], out: Path | None,
    plan: str | None, plan_version: int | None, augs: int | None, trunk_name: str | None,
    weights: str | None, variant: str | None, expect_weights: str,
    seed: int | None, dtype: str | None, like: Path | None, old: tuple[Path, ...], shard: str,
    limit: int | None, retry_failed: bool, update: bool, rehash: bool, only_begun: bool, overwrite: bool,
    dry_run: bool, device: str, precision: str, compiled: bool | None, batch_size: int | None, threads: int | None,
    workers: int | None, max_megapixels: float, allow_other_kernels: bool, columns: Columns,
) -> int:  # fmt: skip
    """Run the frozen network once over several views of every image and keep the features in one HDF5 file.

    The same command again goes on where it stopped. Exit status 0: all done; 1: done, but some images failed;
    2: wrong use or input; 130: interrupted; 143: terminated.
    """
    dataset = load_dataset(name, root, labels, Choice(excluded, included), columns)
    dataset = replace(dataset, about={**dataset.about, **named(score_name)})
    for note in [*dataset.notes, *(score_notes(dataset) if labels else ())]:
        say(f"note: {note}", err=True)
    if old:
        dataset = without_known(dataset, [Collection(path) for path in old])
    expected = Expected.parse(expect_weights)
    model = Collection(like) if like else None
    defaults = Defaults.of(model) if model else Defaults()
    trunk = described(trunk_name or defaults.trunk)
    with expected.named():
        source = chosen_source(weights, trunk.published)
    out = followed(out or Path(f"{name}.h5"))
    if only_begun:
        begun_with = set(Collection(out).ids)
        dataset = subset(dataset, np.array([id_ in begun_with for id_ in dataset.ids]))
    views = of_version(view_plan(plan or defaults.plan, defaults.augs if augs is None else augs), plan_version)
    request = Request(
        out=out,
        dataset=dataset,
        weights=source,
        expected=expected,
        trunk=trunk,
        variant=variant,
        plan=of_trunk(views, trunk),
        any_version=plan_version is None,
        seed=defaults.seed if seed is None else seed,
        dtype=dtype or defaults.dtype,
        precision=model.spec.precision if model and precision == "auto" else precision,
        shard=Shard.parse(shard),
        limit=limit,
        limits=Limits(max_megapixels),
        like=model,
        overwrite=overwrite,
        retry_failed=retry_failed,
        update=update,
        rehash=rehash,
        allow_other_kernels=allow_other_kernels,
    )
    job = decide(request, look(request), planned=dry_run)
    if nothing_to_do(job) and not (dry_run or expect_weights):
        return finish(job, [], 0.0)
    from extract.compute import Hardware  # torch takes seconds to import
    from extract.opening import load_tools

    hardware = Hardware(device, batch_size=batch_size, threads=threads, workers=workers, compiled=compiled)
    tools = load_tools(job, hardware)
    return print_plan(job, tools, hardware) if dry_run else run(job, tools, hardware)


def score_notes(dataset: Dataset) -> Iterator[str]:
    """Yield the range of the scores of a table, and what is to be asked about its ends."""
    if line := range_line(dataset.labels):
        yield line
    yield from questions(dataset.labels)


def nothing_to_do(job: Job) -> bool:
    """Tell whether the file is complete and certain to be of the request's weights, which needs no torch to say."""
    return job.complete and job.collection is not None and is_remembered(job.request.weights, job.collection.provenance)


def followed(out: Path) -> Path:
    """Return `out`, or where it points to as a symbolic link, also if nothing is there yet."""
    return Path(os.path.realpath(out)) if os.path.islink(out) else out


@dataclass(frozen=True)
class Defaults:
    """Hold --trunk, --plan, --augs, --seed and --dtype where the command does not say."""

    trunk: str = USUAL
    plan: str = DEFAULT_PLAN
    augs: int = DEFAULT_AUGS
    seed: int = DEFAULT_SEED
    dtype: str = DEFAULT_DTYPE

    @classmethod
    def of(cls, like: Collection) -> "Defaults":
        """Return those of a collection."""
        return cls(
            like.spec.trunk, str(like.spec.view_plan.get("name")), like.views - 1, like.spec.seed, like.spec.dtype
        )


def without_known(dataset: Dataset, old: list[Collection]) -> Dataset:
    """Return what --except leaves of a dataset, and say what it leaves out. Exits with status 0 if nothing is left."""
    new = find_new_images(dataset, old)
    names = ", ".join(str(collection.path) for collection in old)
    held = len(dataset.ids) - int(new.keep.sum())
    say(f"{held} of {len(dataset.ids)} images are in {names}", err=True)
    for line in except_notes(dataset, old, new, names):
        say(f"note: {line}", err=True)
    if not new.keep.any():
        say(f"nothing to do: every image is in {names}")
        raise click.exceptions.Exit(0)
    return subset(dataset, new.keep)


def except_notes(dataset: Dataset, old: list[Collection], new: NewImages, names: str) -> Iterator[str]:
    """Yield what of --except may surprise a user later."""
    if new.clashes:
        example = new.clashes[0]
        yield (f"{len(new.clashes)} images, such as {example}, have names that {names} holds with other content: there "
               "these names keep the features of the old files, and no collection that has them anew can be linked "
               "with it")  # fmt: skip
    if any(PENDING in collection.status for collection in old):
        yield f"{names} is not finished: an image that is extracted now and there too makes a link of both impossible"
    scored = int((~np.isnan(dataset.labels[~new.keep])).sum())
    if scored:
        yield f"{scored} of these have scores, which are left out here; amnet-cache relabel gives {names} new scores"


def print_plan(job: Job, tools: "Tools", hardware: "Hardware") -> int:
    """Print what --dry-run promises; return the exit status 0."""
    from extract.compute import default_workers
    from extract.pipeline import Cutter
    from extract.planning import Rates, make_plan, plan_lines, probe_pictures, probe_rate

    request = job.request
    tools = made_ready(tools, job)
    workers = hardware.workers or default_workers(tools.compute.kind)
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits)
    rate = probe_rate(tools.trunk, tools.compute.batch_size, request.plan.size)
    there = sorted({*job.rows, *job.redo} - job.missing)
    rates = Rates(rate, probe_pictures(cutter, there, workers), workers)
    for line in plan_lines(make_plan(job), request.dtype, request.out, rates, tools.describe()):
        say(line)
    return 0


def run(job: Job, tools: "Tools", hardware: "Hardware") -> int:
    """Create or resume the collection, fill its rows, say how it went, and return the exit status."""
    from extract.breakdown import Work, breakdown
    from extract.compute import default_workers
    from extract.opening import open_job
    from extract.pipeline import Cutter, Filling, extract_rows
    from extract.planning import make_plan, missing_line, refuse_full_disk
    from extract.room import memory_explained

    request = job.request
    again = "the same command without --overwrite" if request.overwrite else "the same command again"
    refuse_full_disk(make_plan(job), request.out)
    new = job.collection is None
    if new:
        tools = made_ready(tools, job)  # before a file says that it is computed so
    job = open_job(job, tools)
    images = job.images
    views = request.plan.views
    say(f"{request.out}: {images} of {len(request.dataset.ids)} images to do, {views} views each; "
                         f"{tools.describe()}", err=True)  # fmt: skip
    if not images:
        return finish(job, [], 0.0)
    if job.missing:
        say(f"note: {missing_line(job)}; they will fail", err=True)
    if not new:
        tools = made_ready(tools, job)
    started = time.monotonic()
    workers = hardware.workers or default_workers(tools.compute.kind)
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits)
    with deferred_interrupt() as check_interrupt:
        assert job.collection is not None
        filling = Filling(request.out, job.rows, request.row_range, job.redo, tools.compute.kernel_path(),
                          job.collection.uuid, job.missing)  # fmt: skip
        reports = extract_rows(filling, cutter, tools.trunk, tools.compute.batch_size, workers, check_interrupt)
        kept = f"{request.out} keeps what is finished; {again} goes on from there"
        with contextlib.closing(reports), memory_explained(tools.compute.batch_size, kept):
            seen = _watch(reports, job, kept)
    elapsed = time.monotonic() - started
    done = sum(not report.error for report in seen)
    if done:
        work = Work.on_this_machine(done, views, request.dtype, workers, tools.compute, request.trunk)
        say(breakdown(cutter.clock.seconds, elapsed, work, tools.compute), err=True)
    return finish(job, seen, elapsed)


def made_ready(tools: "Tools", job: Job) -> "Tools":
    """Compile what is to be compiled, and on a GPU find room for the batches; say how long the one took, and what came
    of the other. Raises ConfigError if that cannot be done, DeviceMemoryError if there is no room.
    """
    from extract.room import find_room

    request, compute, halved, started = job.request, tools.compute, "", time.monotonic()
    if compute.compiled:
        say("compiling the network, some 5 to 20 s ...", err=True)
    if compute.kind != "cpu":
        begun = str(request.out) if job.collection and not request.allow_other_kernels else ""
        halved = find_room(tools.trunk, request.dtype == "uint8", begun)
        tools = replace(tools, compute=tools.trunk.compute)
    elif compute.compiled:
        tools.trunk.warm_up()
    if compute.compiled:
        say(f"compiled in {time.monotonic() - started:.1f} s", err=True)
    if halved:
        say(f"note: {halved}", err=True)
    return tools


def _watch(reports: Iterable["RowReport"], job: Job, if_stopped: str) -> list["RowReport"]:
    """Show progress in views/s and time left; the reports."""
    seen, failed, views = [], 0, job.request.plan.views
    try:
        with progress("extract", (job.images - len(job.missing)) * views, "views") as bar:
            for report in reports:
                bar.update(0 if report.row in job.missing else views)
                seen.append(report)
                if report.error:
                    failed += 1
                    bar.set_postfix(failed=failed, refresh=False)
    except KeyboardInterrupt as stop:
        raise type(stop)(if_stopped) from None
    return seen


def finish(job: Job, reports: list["RowReport"], seconds: float) -> int:
    """Name what failed, print the last line, and return the exit status: 1 if rows of the command have failed."""
    request, failed = job.request, [report for report in reports if report.error]
    for report in failed[:MOST_NAMED]:
        say(f"failed: {request.dataset.ids[report.row]}: {report.error}", err=True)
    if len(failed) > MOST_NAMED:
        say(f"... and {len(failed) - MOST_NAMED} more; all: amnet-cache info --failed {request.out}", err=True)
    for line in notes(job):
        say(line, err=True)
    assert job.collection is not None
    if job.images:
        job.collection.refresh()  # with what other processes have filled meanwhile
    done = [report for report in reports if not report.error]
    say(summary(job, job.collection, len(done), seconds) + profiles(done))
    return 1 if (status_in_range(job, job.collection) == FAILED).any() else 0


def status_in_range(job: Job, collection: Collection) -> np.ndarray:
    """Return the status (n,) uint8 of the rows that the command may fill."""
    row_range = job.request.row_range
    return collection.status[row_range.start : row_range.stop]


def notes(job: Job) -> Iterable[str]:
    """Yield what a user may want to do next."""
    if job.changes.gone:
        yield f"note: {job.changes.gone} image files cannot be read any more; their features stay good"
    if job.failed and job.changes.failed and not job.request.update:
        yield f"note: {len(job.changes.failed)} of the failed images have other files now; --update tries these again"
    elif job.failed:
        yield f"note: {job.failed} images failed before; --retry-failed tries them again"


def summary(job: Job, collection: Collection, done_now: int, seconds: float) -> str:
    """Return the last line: images done and failed of the rows asked for, pending in the file, views/s, file size."""
    request, path = job.request, job.request.out
    done, failed = (int((status_in_range(job, collection) == mark).sum()) for mark in (DONE, FAILED))
    pending = int((collection.status == PENDING).sum())
    what = f"{done_now * request.plan.views / seconds:.1f} views/s" if job.images else "nothing to do"
    return (f"{path}: {done} images done ({done_now} now), {failed} failed, {pending} pending, {what}, "
            f"{path.stat().st_size / 1e9:.2f} GB{clipping(collection)}")  # fmt: skip


def profiles(reports: Iterable["RowReport"]) -> str:
    """Tell how many images were converted to sRGB now, and of how many the profile was ignored; empty for none."""
    counts = Counter(report.profile for report in reports)
    texts = {CONVERTED: "converted to sRGB", IGNORED: "with a colour profile that is of no use"}
    return "".join(f", {counts[outcome]} {text}" for outcome, text in texts.items() if counts[outcome])


def clipping(collection: Collection) -> str:
    """Tell how many values a uint8 collection has clipped; empty for others."""
    if collection.spec.dtype != "uint8":
        return ""
    return f", {int(collection.images['clipped'].sum(dtype='int64'))} values clipped"
